"""Settings of an existing Celery app under which its workers would never run our task."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from paceline import Finding, SettingsError

from paceline_adapters.celery.task import TASK

_PART = "executor celery"
#: Kombu's default for ``visibility_timeout``, in seconds.
_KOMBUS_DEFAULT = 3600
_JSON = {"json", "application/json"}


class Conflict(NamedTuple):
    """A setting of the app with which it cannot run roadmaps.

    Attributes:
        problem: the setting, its value and what it does to our messages.
        line: the line to add to the app's configuration.
    """

    problem: str
    line: str

    def error(self) -> SettingsError:
        """The conflict as an error."""
        return SettingsError(self.problem, fix=f"add {self.line}")

    def finding(self) -> Finding:
        """The conflict as a finding of ``paceline doctor``."""
        return Finding("wrong", _PART, self.problem, f"add {self.line}")


def conflicts(app: Any, queue: str) -> Sequence[Conflict]:
    """Find the settings of an app in use that conflict with our task."""
    return [*_settings(app, app.amqp.queues, queue), *_broker(app)]


def check_app(app: Any, queue: str) -> None:
    """Check an app that is about to be used.

    Raises:
        SettingsError: a setting conflicts with our task.
    """
    for conflict in conflicts(app, queue):
        raise conflict.error()


def check_while_imported(app: Any, queue: str) -> None:
    """Check what is known of an app that may be configured further.

    This leaves nothing behind in the app. Configuration that cannot be loaded yet is not
    checked, and neither is the broker, because unit tests replace it.

    Raises:
        SettingsError: a setting conflicts with our task.
    """
    try:
        given = app.conf.task_queues
    except Exception:  # noqa: BLE001
        return
    # The queues of `app.amqp` are created once, so later settings would not reach them.
    queues = type(app.amqp)(app).Queues(given)
    for conflict in _settings(app, queues, queue):
        raise conflict.error()


def without_task(worker: str, queue: str) -> Finding:
    """A running worker that takes our messages and drops them."""
    return Finding(
        "wrong",
        _PART,
        f"Celery worker {worker} consumes {queue} but has no task {TASK}, so it drops the messages",
        "call paceline_adapters.celery.install(app) in the module that the worker starts with -A",
    )


def drawbacks(app: Any) -> Iterator[Finding]:
    """Report settings of the app with which runs may wait for long."""
    reads, writes = app.connection_for_read(), app.connection_for_write()
    if writes.transport.driver_type == "redis" and _place(reads) != _place(writes):
        yield Finding(
            "warning",
            _PART,
            f"your Celery app sends messages to {writes.as_uri()}, but its workers read from "
            f"{reads.as_uri()}",
            "set broker_read_url and broker_write_url to one database; they may also come from "
            "the variables CELERY_BROKER_READ_URL and CELERY_BROKER_WRITE_URL",
        )
    limit = app.tasks[TASK].rate_limit
    if limit:
        yield Finding(
            "warning",
            _PART,
            f"task_annotations of your Celery app limits {TASK} to {limit}, so each worker starts "
            "no more runs than that",
            "name your own tasks in task_annotations instead of '*'",
        )


def _place(connection: Any) -> tuple[object, ...]:
    return connection.hostname, connection.port, str(connection.virtual_host).strip("/")


def _name(app: Any, key: str) -> str:
    """What the app's configuration calls a setting."""
    # With a namespace, as in Django, the source of the configuration wins over `app.conf`.
    return f"{app.namespace.rstrip('_')}_{key}".upper() if app.namespace else f"app.conf.{key}"


def _settings(app: Any, queues: Any, queue: str) -> Iterator[Conflict]:
    yield from _accept_content(app)
    yield from _missing(app, queues, queue)
    if queue in queues and queues[queue].exchange.type == "fanout":
        yield Conflict(
            f"task_queues of your Celery app gives {queue} an exchange of the type 'fanout', "
            "which keeps no messages for workers",
            _declaration(app, queue),
        )


def _accept_content(app: Any) -> Iterator[Conflict]:
    accepted = app.conf.accept_content
    names = [accepted] if isinstance(accepted, str) else list(accepted or ())
    if _JSON & set(names) and not isinstance(accepted, str):
        return
    wanted = [*sorted(set(names) - _JSON), "json"]
    yield Conflict(
        f"accept_content of your Celery app is {accepted!r}, so its workers drop paceline's "
        "messages, which are JSON",
        f"{_name(app, 'accept_content')} = {wanted}",
    )


def _missing(app: Any, queues: Any, queue: str) -> Iterator[Conflict]:
    """Check the queues that Celery needs to send a message: ours and the app's default."""
    needed = dict.fromkeys((queue, app.conf.task_default_queue))
    missing = [name for name in needed if not _exists(queues, name)]
    if missing:
        yield Conflict(
            "task_create_missing_queues of your Celery app is False and task_queues lacks "
            f"{' and '.join(missing)}, so Celery cannot send messages",
            _declaration(app, *missing),
        )


def _exists(queues: Any, name: str) -> bool:
    try:
        queues[name]  # creates the queue if the app allows that
    except KeyError:
        return False
    return True


def _declaration(app: Any, *names: str) -> str:
    """The line that declares queues beside those that the app has."""
    given, setting = app.conf.task_queues, _name(app, "task_queues")
    if isinstance(given, Mapping):
        added = ", ".join(f'"{name}": {{"exchange": "{name}"}}' for name in names)
        return f"{setting} = {{**{setting}, {added}}}"
    added = ", ".join(
        f'kombu.Queue("{name}", kombu.Exchange("{name}"), "{name}")' for name in names
    )
    if not given:
        default = app.conf.task_default_queue
        others = "" if default in names else f'kombu.Queue("{default}"), '
    elif any(queue.name in names for queue in given):
        others = f"*(q for q in {setting} if q.name not in {names}), "
    else:
        others = f"*{setting}, "
    return f"{setting} = [{others}{added}]"


def visibility_timeout(app: Any) -> float | None:
    """Seconds after which a Redis broker redelivers a message; ``None`` if it is no number."""
    options: Mapping[str, object] = app.conf.broker_transport_options or {}
    given = options.get("visibility_timeout", _KOMBUS_DEFAULT)
    return float(given) if isinstance(given, (int, float)) else None


def _broker(app: Any) -> Iterator[Conflict]:
    """Check that messages leave this process, and that workers can fetch them."""
    if visibility_timeout(app) is None:
        name = _name(app, "broker_transport_options")
        yield Conflict(
            "visibility_timeout in broker_transport_options of your Celery app is not a number of "
            "seconds, so its workers stop",
            f'{name} = {{**{name}, "visibility_timeout": {_KOMBUS_DEFAULT}}}',
        )
    if app.connection_for_write().transport_cls == "memory":
        yield Conflict(
            "broker_url of your Celery app is memory://, so its messages never leave the process "
            "that sends them",
            f'{_name(app, "broker_url")} = "redis://host:6379/0"',
        )
