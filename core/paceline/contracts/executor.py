"""The contract of executors: where does a run go?"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from paceline.contracts.finding import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """What one worker of a queue holds, as the queue itself sees it.

    Attributes:
        name: the worker's name in the queue.
        active: ids of the runs it works on.
        reserved: ids of the runs it took from the queue and has not begun (prefetched).
        concurrency: how many runs it works on at once.
    """

    name: str
    active: tuple[str, ...]
    reserved: tuple[str, ...]
    concurrency: int


class Executor(ABC):
    """Hands runs to workers.

    ``submit``, ``cancel``, ``inspect`` and ``close`` belong to a client on an event loop.
    ``serve`` *is* a worker process: it owns that process's event loop.
    """

    #: Whether submitted runs are worked on by other processes only.
    distributed: ClassVar[bool] = True
    #: Runs that one worker works on at once, where nothing else is said.
    concurrency: int = 8
    #: Worker processes that one ``serve`` starts, each with connections of its own.
    processes: int = 1

    @abstractmethod
    async def submit(self, run_id: str) -> None:
        """Queue a run durably. Queueing it twice runs it once.

        Raises:
            PartUnavailable: the broker cannot be reached.
        """

    async def cancel(self, run_id: str) -> None:
        """Take a queued run back where the queue can.

        A run that is being worked on is stopped by its worker, which learns of the request
        from the store.
        """

    async def inspect(self) -> Sequence[WorkerLoad]:
        """What each worker of the queue holds, now; empty where the store alone knows."""
        return ()

    async def queued(self) -> int | None:
        """How many runs lie in the queue untaken, where the queue can say."""
        return None

    async def check(self) -> str:
        """Reach the broker, for ``paceline doctor``: one line about it, where there is one.

        Raises:
            PartUnavailable: it cannot be reached.
        """
        return ""

    def findings(self) -> Sequence[Finding]:
        """What of the settings can or cannot hold with this executor; reaches nothing."""
        return ()

    @abstractmethod
    def serve(self, *, concurrency: int | None = None) -> int:
        """Be a worker until told to stop, and return the process's exit code.

        Blocks; called on a process's main thread with no event loop running.

        Args:
            concurrency: runs at once, instead of the executor's setting.
        """

    async def close(self) -> None:
        """Close what ``submit`` and ``inspect`` opened."""
