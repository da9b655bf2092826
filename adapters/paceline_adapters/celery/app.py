"""The Celery app: paceline's own, or one that exists already."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paceline import Context, PartUnavailable, Settings, SettingsError
from paceline.plugins.registry import Plugins
from paceline.settings.load import load_settings, options_for

from paceline_adapters.celery.broker_url import broker_url
from paceline_adapters.celery.plugin import NAME, CeleryOptions
from paceline_adapters.celery.task import TASK, generate
from paceline_adapters.celery.untyped import app_utils, celery, keep_awake

#: Seconds between a worker's looks at its queue.
_LOOK = 0.2

_installed: Any = None


@dataclass(frozen=True, slots=True)
class AppInUse:
    """The app that runs are sent through.

    Attributes:
        app: the ``celery.Celery``.
        ours: whether it was made here, for one executor.
    """

    app: Any
    ours: bool

    def faults(self) -> tuple[type[BaseException], ...]:
        """What it raises when the broker cannot be reached, or refuses us."""
        connection = self.app.connection_for_write()
        known = (*connection.connection_errors, *connection.channel_errors)
        # Celery's own wrapper of both kinds is among neither.
        return (OSError, celery.exceptions.OperationalError, *known)

    def unavailable(self, error: BaseException) -> PartUnavailable:
        """The same in words; the password is starred out of the address."""
        address = self.app.connection_for_write().as_uri()
        return PartUnavailable(f"the Celery broker {address} cannot be reached: {error}")


def app_in_use(options: CeleryOptions, settings: Settings) -> AppInUse:
    """The app of the options, the one that was installed here, or else one of our own.

    Raises:
        SettingsError: ``redis.url`` is not set or not valid, or there is no such app.
    """
    url = broker_url(settings.redis)
    if options.app is not None and _installed is None:
        try:
            app = app_utils.find_app(options.app)
            ready = TASK in app.tasks
        except (ImportError, AttributeError, ValueError) as error:
            raise SettingsError(
                f"executors.celery.app={options.app!r} cannot be imported: {error}"
            ) from None
        if not ready:
            raise SettingsError(
                f"executors.celery.app={options.app!r} does not know paceline: call "
                "paceline_adapters.celery.install(app) in its module"
            )
        return AppInUse(app, ours=False)
    if _installed is not None:
        return AppInUse(_installed, ours=False)
    return AppInUse(make_app(options, settings, url), ours=True)


def make_app(options: CeleryOptions, settings: Settings, url: str) -> Any:
    """Our own app: Redis for a broker, JSON only, and no results, as the store has them."""
    app = celery.Celery("paceline", set_as_current=False, fixups=[])
    app.conf.update(
        broker_url=url,
        # Named too, because CELERY_BROKER_URL in the environment would outdo the first.
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
        # What runs is safe by its lease, and another delivery of it is refused.
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    add_task(app, options)
    return app


def add_task(app: Any, options: CeleryOptions) -> None:
    """Add our task, with limits, acknowledgement and queue of its own."""
    app.task(
        name=TASK,
        # Else every other app of the process would get it.
        shared=False,
        queue=options.queue,
        serializer="json",
        ignore_result=True,
        acks_late=options.acks_late,
        acks_on_failure_or_timeout=True,
        # Whose process was killed is found by its lease, which counts and bounds it.
        reject_on_worker_lost=False,
        soft_time_limit=options.soft_time_limit,
        time_limit=options.time_limit,
        max_retries=0,
    )(generate)
    keep_awake(app, _LOOK)


def install_with_settings(app: Any, config: Path | None) -> None:
    """See ``paceline_adapters.celery.install``."""
    global _installed
    from paceline_adapters.celery.hooks import connect

    plugins = Plugins()
    loaded = load_settings(plugins, config=config).settings
    settings = loaded.model_copy(update={"executor": NAME})
    broker_url(settings.redis)  # shared limits and events need it, whatever the app's broker is
    place = f"executors.{NAME}"
    options = plugins.executor(NAME).check(options_for(settings.executors, NAME), place)
    if not isinstance(options, CeleryOptions):
        raise TypeError(f"{place} has options of another executor")
    add_task(app, options)
    connect(Context(settings=settings, plugins=plugins), options)
    _installed = app
