"""The state that all of this package shares within one process.

Celery calls plain functions: a task, and receivers of its signals. They find the state of their
process here.
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
    """

    installed_app: Any = None
    loop_thread: "LoopThread | None" = None


#: The state of this process. A pool process starts with a copy of its parent's.
runtime = Runtime()
