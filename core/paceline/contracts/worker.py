"""What an executor's ``serve`` builds on: a worker, and the host that opens it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from paceline.contracts.executor import Executor
from paceline.contracts.storage.records import RunStatus, WorkerRecord
from paceline.contracts.storage.store import Store


@dataclass(frozen=True, slots=True)
class Reservation:
    """Worker processes that are registered before they start.

    Attributes:
        records: one record per process.
        pool_limit: maximum number of database connections of each process.
    """

    records: Sequence[WorkerRecord]
    pool_limit: int


class RunWorker(Protocol):
    """One open worker: it is registered, beats, and works on the runs it is given."""

    @property
    def record(self) -> WorkerRecord:
        """How the worker is registered."""
        ...

    @property
    def store(self) -> Store:
        """The worker's store."""
        ...

    @property
    def executor(self) -> Executor:
        """The executor that the worker submits runs to when it hands them back."""
        ...

    @property
    def draining(self) -> bool:
        """Whether the worker accepts no more runs."""
        ...

    async def until_draining(self) -> None:
        """Return as soon as the worker accepts no more runs."""
        ...

    async def run(self, run_id: str) -> RunStatus | None:
        """Claim a run and work on it until it ends or must stop.

        Returns:
            The run's status afterwards (``queued`` if the worker handed it back). ``None`` if
            the run is not this worker's: another worker owns it, or it has ended.
        """
        ...

    async def serve(self, *, only: Sequence[str] | None = None, poll: float = 0.5) -> None:
        """Claim queued runs from the store and work on them until the worker drains.

        Args:
            only: ids of the runs to work on; all queued runs of the executor if ``None``.
            poll: seconds between two looks at the store.
        """
        ...

    async def serve_until_signalled(self, serving: "asyncio.Task[None]") -> int:
        """Wait for ``serving``; drain at the first signal to stop, stop at the second.

        Returns:
            The exit code of the process: 0, 129 after SIGHUP, 130 after SIGINT, 143 after
            SIGTERM.
        """
        ...

    def expire(self, run_id: str) -> bool:
        """Stop a run as its deadline does; returns whether the worker works on it."""
        ...

    def drain_with(self, drain_process: Callable[[], None]) -> None:
        """Let ``drain_process`` drain the whole process if an operator asks the worker to drain.

        Without it, the worker drains itself, and its ``serve`` and ``until_draining`` return.
        """
        ...

    async def drain(self, grace: float) -> None:
        """Accept no more runs; wait up to ``grace`` seconds for calls in flight; save them."""
        ...

    async def stop(self) -> None:
        """Stop every run at once and hand it back."""
        ...

    async def recover(self) -> None:
        """Queue the runs again that have lost their worker."""
        ...

    def queued_runs(self) -> AsyncIterator[str]:
        """Ids of all queued runs of the worker's executor, to compare with a queue."""
        ...


class WorkerHost(Protocol):
    """Opens workers in this process; ``paceline.App`` is one."""

    def worker(
        self,
        *,
        concurrency: int | None = None,
        record: WorkerRecord | None = None,
        pool_limit: int | None = None,
    ) -> AbstractAsyncContextManager[RunWorker]:
        """Open a worker; it is drained and deregistered at the end.

        Args:
            concurrency: maximum number of runs at once; the executor's own if ``None``.
            record: a record from a reservation. If ``None``, the worker registers itself and
                reserves its database connections.
            pool_limit: the reservation's connections.

        Raises:
            BudgetError: the database has too few free connections.
            PartUnavailable: a part cannot be reached.
        """
        ...

    async def reserve(self, *, concurrency: int, processes: int = 1) -> Reservation:
        """Register processes and reserve their database connections, before they start.

        Args:
            concurrency: maximum number of runs at once in each process.
            processes: number of processes.

        Raises:
            BudgetError: the database has too few free connections; the text shows the sum.
            PartUnavailable: the database cannot be reached.
        """
        ...

    def open_executor(self) -> AbstractAsyncContextManager[Executor]:
        """Open the executor as a client."""
        ...

    async def try_parts(self) -> None:
        """Make every part once and close it, to find a wrong setting before workers start.

        Raises:
            PacelineError: a part cannot be made or reached.
        """
        ...
