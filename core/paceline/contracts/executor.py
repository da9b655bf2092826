"""The contract of executors: where does a run execute?"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from paceline.contracts.finding import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """What one worker of a queue holds, as the queue reports it.

    Attributes:
        name: the worker's name in the queue.
        active: ids of the runs that it works on.
        reserved: ids of the runs that it took from the queue and has not started (prefetched).
        concurrency: maximum number of runs that it works on at once.
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

    #: Whether only other processes work on submitted runs.
    distributed: ClassVar[bool] = True
    #: Default number of runs that one worker works on at once.
    concurrency: int = 8
    #: Number of worker processes that one ``serve`` starts, each with its own connections.
    processes: int = 1

    @abstractmethod
    async def submit(self, run_id: str) -> None:
        """Queue a run durably. A run that is queued twice runs once.

        Raises:
            PartUnavailable: the broker cannot be reached.
        """

    async def cancel(self, run_id: str) -> None:
        """Remove a queued run from the queue, if the queue supports it.

        If a worker works on the run, that worker reads the request from the store and stops.
        """

    async def forget(self, run_ids: Sequence[str]) -> None:
        """Remove all that the queue keeps of runs that are being purged; by default nothing.

        No worker works on them. Removing what is gone already is no error.

        Raises:
            PartUnavailable: the broker cannot be reached.
        """

    async def inspect(self) -> Sequence[WorkerLoad]:
        """What each worker of the queue holds now; empty if the executor has no queue."""
        return ()

    async def queued(self) -> int | None:
        """Number of runs in the queue that no worker has taken; ``None`` if unknown."""
        return None

    async def check(self) -> str:
        """Use the broker once, for ``paceline doctor``; returns one line about it, or none.

        Raises:
            PartUnavailable: it cannot be reached.
            PartRejected: it rejects this process.
        """
        return ""

    def findings(self) -> Sequence[Finding]:
        """Settings that fit or contradict this executor; connects to nothing."""
        return ()

    @abstractmethod
    def serve(self, *, concurrency: int | None = None) -> int:
        """Be a worker until a signal stops it; returns the exit code of the process.

        It blocks. Call it on the main thread of a process, without a running event loop.

        Args:
            concurrency: maximum number of runs at once, instead of the executor's setting.
        """

    async def close(self) -> None:
        """Close the connections of ``submit`` and ``inspect``."""
