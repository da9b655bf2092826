"""The Celery app that runs are sent through: paceline's own, or one that exists already."""

from dataclasses import dataclass
from typing import Any

from paceline import PartUnavailable, Settings, SettingsError

from paceline_adapters.celery.broker_url import broker_url
from paceline_adapters.celery.options import CeleryOptions
from paceline_adapters.celery.runtime import runtime
from paceline_adapters.celery.task import TASK, generate
from paceline_adapters.celery.untyped import app_utils, celery, keep_awake, own_app

#: Maximum number of seconds between two polls of the queue by one worker.
_POLL = 0.2


@dataclass(frozen=True, slots=True)
class AppInUse:
    """The app that runs are sent through.

    Attributes:
        ours: whether paceline created the app, for one executor.
    """

    app: Any
    ours: bool

    def faults(self) -> tuple[type[BaseException], ...]:
        """The errors that the app raises if the broker is unreachable or rejects a command."""
        connection = self.app.connection_for_write()
        known = (*connection.connection_errors, *connection.channel_errors)
        # Both lists lack the error in which Celery itself wraps these.
        return (OSError, celery.exceptions.OperationalError, *known)

    def unavailable(self, error: BaseException) -> PartUnavailable:
        """Turn such an error into ours. The address in it hides the password."""
        address = self.app.connection_for_write().as_uri()
        return PartUnavailable(f"the Celery broker {address} cannot be reached: {error}")


class Unrouted:
    """A router for `send_task` that keeps the sender's queue, whatever routes the app has."""

    def route(self, options: dict[str, Any], *_: object, **__: object) -> dict[str, Any]:
        """Return the options of a message unchanged."""
        return options


class NoResult:
    """Stands for the result of a message, without loading the app's result backend."""

    def __init__(self, _task_id: str) -> None:
        self.ignored = True


def app_in_use(options: CeleryOptions, settings: Settings) -> AppInUse:
    """Return the installed app, else the app named by the options, else an app of our own.

    Raises:
        SettingsError: ``redis.url`` is not set or not valid, or the named app does not exist.
    """
    url = broker_url(settings.redis)
    if options.app is not None and runtime.installed_app is None:
        try:
            app = app_utils.find_app(options.app)
            has_task = TASK in app.tasks
        except (ImportError, AttributeError, ValueError) as error:
            raise SettingsError(
                f"executors.celery.app={options.app!r} cannot be imported: {error}"
            ) from None
        if not has_task:
            raise SettingsError(
                f"executors.celery.app={options.app!r} has no task {TASK}: call "
                "paceline_adapters.celery.install(app) in its module"
            )
        return AppInUse(app, ours=False)
    if runtime.installed_app is not None:
        return AppInUse(runtime.installed_app, ours=False)
    return AppInUse(make_app(options, settings, url), ours=True)


def make_app(options: CeleryOptions, settings: Settings, url: str) -> Any:
    """Create our own app: Redis as the broker, JSON only, no results, as the store has them."""
    app = own_app()
    app.conf.update(
        broker_url=url,
        broker_read_url=url,
        broker_write_url=url,
        broker_transport_options={
            "global_keyprefix": f"{settings.redis.prefix}:celery:",
            "visibility_timeout": options.visibility_timeout,
            "socket_connect_timeout": settings.redis.timeout,
            "socket_timeout": settings.redis.timeout,
            "socket_keepalive": True,
            "max_retries": 1,
            "interval_start": 0.2,
        },
        broker_connection_timeout=settings.redis.timeout,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_default_queue=options.queue,
        task_routes={TASK: {"queue": options.queue}},
        task_acks_late=options.acks_late,
        task_soft_time_limit=options.soft_time_limit,
        task_time_limit=options.time_limit,
        worker_prefetch_multiplier=options.prefetch_multiplier,
        worker_concurrency=options.concurrency,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # The lease protects a run in work: if its message is redelivered, it is ignored.
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    add_task(app, options)
    return app


def add_task(app: Any, options: CeleryOptions) -> None:
    """Add our task to an app, with its own limits and acknowledgement.

    The sender names the queue; Celery 5.7 deprecates a queue of the task itself.
    """
    app.task(
        name=TASK,
        # A shared task would be added to every other app of the process.
        shared=False,
        serializer="json",
        ignore_result=True,
        acks_late=options.acks_late,
        acks_on_failure_or_timeout=True,
        # If a process is killed, recovery finds its run by the lease and limits the retries.
        reject_on_worker_lost=False,
        soft_time_limit=options.soft_time_limit,
        time_limit=options.time_limit,
        max_retries=0,
        # The app's default limit is for its own tasks.
        rate_limit=0,
    )(generate)
    keep_awake(app, _POLL)
