"""Everything that we use of Celery and its process pool, which have no type annotations."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

#: Each raises ``ModuleNotFoundError`` if the extra ``celery`` is not installed.
celery: Any = importlib.import_module("celery")
app_utils: Any = importlib.import_module("celery.app.utils")
exceptions: Any = importlib.import_module("celery.exceptions")
signals: Any = importlib.import_module("celery.signals")


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


def _nothing() -> None:
    return None
