"""The state that all of this package shares within one process.

Celery calls plain functions: a task, receivers of its signals, signal handlers. They find the
state of their process here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a client has no loop, and importing its modules takes long
    from paceline_adapters.celery.loop import LoopThread


@dataclass(slots=True)
class Runtime:
    """The state of one process.

    Attributes:
        installed_app: the app that was passed to ``install``, if any.
        loop_thread: the event loop that generates runs, if this process takes any.
        hangup_ignored: whether the worker ignored SIGHUP before it forked this process.
        exiting: whether this is a pool process that is about to exit.
    """

    installed_app: Any = None
    loop_thread: "LoopThread | None" = None
    hangup_ignored: bool = False
    exiting: bool = False


#: The state of this process. A pool process starts with a copy of its parent's.
runtime = Runtime()
