"""What we use of Celery, which carries no types, in one place."""

import importlib
from typing import Any

#: Each raises ``ModuleNotFoundError`` where the extra ``celery`` is not installed.
celery: Any = importlib.import_module("celery")
app_utils: Any = importlib.import_module("celery.app.utils")
exceptions: Any = importlib.import_module("celery.exceptions")
signals: Any = importlib.import_module("celery.signals")


def security_warning() -> type[Warning]:
    """What Celery warns with when it runs as root."""
    found: type[Warning] = importlib.import_module("celery.platforms").SecurityWarning
    return found


def worker_state() -> Any:
    """The module in which a Celery worker notes that it shall stop."""
    return importlib.import_module("celery.worker.state")


def pool_name(pool: Any) -> str:
    """``prefork``, ``thread`` or another pool's name, from the class or the name of one."""
    found = importlib.import_module("celery.concurrency").get_implementation(pool)
    return str(found.__module__).rpartition(".")[2]


def child_index() -> int:
    """Which of the pool's processes this one is; a process that replaces another inherits it."""
    process: Any = importlib.import_module("billiard.process").current_process()
    return int(process.index)


def keep_awake(app: Any, every: float) -> None:
    """Have workers of the app look at their queue at least so often, on the pool ``threads``.

    A worker that holds as many messages as it may stops asking for more, and nothing tells
    its event loop that a thread has acknowledged one: it would sleep for up to ten seconds.
    """

    def register(_step: Any, consumer: Any, hub: Any) -> None:
        if pool_name(type(consumer.pool)) == "thread":
            hub.call_repeatedly(every, _nothing)

    steps: Any = importlib.import_module("celery.bootsteps")
    members = {"register_with_event_loop": register}
    app.steps["consumer"].add(type("KeepAwake", (steps.StartStopStep,), members))


def _nothing() -> None:
    return None
