"""Everything that we use of Celery and its process pool, which have no type annotations."""

import importlib
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from operator import methodcaller
from typing import Any

log = logging.getLogger("paceline.worker")

#: Variables that Celery and its libraries convert to numbers while they are imported.
_NUMBERS: Mapping[str, Callable[[str], object]] = {
    "AUTOSCALE_KEEPALIVE": float,
    "CELERY_BENCH_EVERY": int,
    "CELERY_WORKER_REVOKES_MAX": int,
    "CELERY_WORKER_REVOKE_EXPIRES": float,
    "CELERY_WORKER_SUCCESSFUL_MAX": int,
    "CELERY_WORKER_SUCCESSFUL_EXPIRES": float,
    "C_BENCH_EVERY": int,
    "PICKLE_PROTOCOL": int,
}


def _remove_unusable_numbers() -> None:
    """Remove variables with which no program could import Celery."""
    for name, read in _NUMBERS.items():
        try:
            read(os.environ.get(name) or "0")
        except ValueError:
            log.warning("%s is ignored: it must be a number, got %r", name, os.environ.pop(name))


_remove_unusable_numbers()
#: Each raises ``ModuleNotFoundError`` if the extra ``celery`` is not installed.
celery: Any = importlib.import_module("celery")
app_utils: Any = importlib.import_module("celery.app.utils")
exceptions: Any = importlib.import_module("celery.exceptions")
signals: Any = importlib.import_module("celery.signals")

#: Settings for which Celery prefers ``CELERY_…`` in the environment.
_FROM_ENVIRONMENT = ("broker_url", "broker_read_url", "broker_write_url", "result_backend")


def own_app() -> Any:
    """Create an app that only its ``conf`` configures.

    Celery prefers the environment to the configuration of an app. There, the variables of
    another application on the machine would send our messages elsewhere.
    """
    loader: Any = importlib.import_module("celery.loaders.app").AppLoader
    # Given as an argument, it also wins over CELERY_LOADER.
    own_loader = type("OwnLoader", (loader,), {"read_configuration": _nothing})
    app = celery.Celery("paceline", set_as_current=False, fixups=[], loader=own_loader)
    members = {key: property(methodcaller("get", key)) for key in _FROM_ENVIRONMENT}
    own_settings = type("OwnSettings", (app_utils.Settings,), members)
    # Assigned in the usual way, it would become a setting.
    object.__setattr__(app.conf, "__class__", own_settings)
    return app


def security_warning() -> type[Warning]:
    """The category of Celery's warning about running as root."""
    found: type[Warning] = importlib.import_module("celery.platforms").SecurityWarning
    return found


def worker_state() -> Any:
    """The module that holds a Celery worker's request to stop."""
    return importlib.import_module("celery.worker.state")


def pool_name(pool: Any) -> str:
    """``prefork``, ``thread`` or the name of another pool, given its class or name."""
    found = importlib.import_module("celery.concurrency").get_implementation(pool)
    return str(found.__module__).rpartition(".")[2]


def child_index() -> int:
    """Position of this process in the pool. A process inherits it from the one it replaces."""
    process: Any = importlib.import_module("billiard.process").current_process()
    return int(process.index)


def set_exit_handler(handler: Callable[[int, object], None]) -> None:
    """Choose this pool process's handler for the signals that end it.

    Call it while the process starts. The pool installs the handlers right after that, so a
    handler installed directly would be replaced.
    """
    pool: Any = importlib.import_module("billiard.pool")
    common: Any = importlib.import_module("billiard.common")
    pool.reset_signals = partial(common.reset_signals, handler)


def note_exit() -> None:
    """Note that a signal ends this pool process, as the pool's own handler does.

    The pool then reports the interrupted task as lost, and not as failed.
    """
    common: Any = importlib.import_module("billiard.common")
    common._should_have_exited[0] = True  # noqa: SLF001


def import_own_worker() -> None:
    """Import Celery's worker for a process that is ours alone, without its measurement mode.

    That mode is for Celery's developers: its worker acknowledges no message.
    """
    for name in ("C_BENCH", "CELERY_BENCH"):
        os.environ.pop(name, None)
    worker_state()


def keep_awake(app: Any, interval: float) -> None:
    """Make workers of the app poll their queue at this interval, on the pool ``threads``.

    A worker stops fetching while it has reserved as many messages as it may. When a thread
    then acknowledges one, the worker's event loop is not notified, and may sleep up to 10 s.
    """

    def register(_step: Any, consumer: Any, hub: Any) -> None:
        if pool_name(type(consumer.pool)) == "thread":
            hub.call_repeatedly(interval, _nothing)

    steps: Any = importlib.import_module("celery.bootsteps")
    members = {"register_with_event_loop": register}
    app.steps["consumer"].add(type("KeepAwake", (steps.StartStopStep,), members))


def _nothing(*_: object) -> None:
    return None
