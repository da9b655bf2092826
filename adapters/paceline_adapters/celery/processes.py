"""What happens when a Celery worker starts, forks and ends, however it was started."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from paceline import Context, SettingsError
from paceline.contracts.worker import RunWorker
from paceline.process.stop_signals import hangup_ignored
from paceline.process.stoppable import run_stoppable

from paceline_adapters.celery.loop import LoopThread
from paceline_adapters.celery.lost_messages import Broker, resubmit_lost_messages
from paceline_adapters.celery.runtime import runtime
from paceline_adapters.celery.shutdown_pipes import ShutdownPipes
from paceline_adapters.celery.slots import Slot, WorkerSlots

log = logging.getLogger("paceline.worker")


class Processes:
    """The processes of one Celery worker.

    Created in the main process. On the pool ``prefork``, each child gets a copy by the fork.

    Args:
        context: settings and plugins.

    Attributes:
        pipes: reach every process.
        drain_requested: whether the main process has asked all processes to drain.
    """

    def __init__(self, context: Context) -> None:
        self._host = context.host()
        self._grace = context.settings.run.grace
        self._main_process = os.getpid()
        self.pipes = ShutdownPipes()
        self.drain_requested = False
        self._slots: WorkerSlots | None = None

    # -- main process --------------------------------------------------------------------

    def prepare(self, pool: str, concurrency: int) -> None:
        """Reserve connections for all processes, before the fork.

        Raises:
            SettingsError: the pool cannot be used.
            BudgetError: the connections do not fit the database.
            PartUnavailable: the database cannot be reached.
        """
        if pool not in ("prefork", "thread"):
            raise SettingsError(
                f"Celery's pool {pool!r} cannot run roadmaps: use prefork or threads"
            )
        processes = concurrency if pool == "prefork" else 1
        runtime.hangup_ignored = hangup_ignored()
        self._slots = run_stoppable(self._reserve(processes, concurrency // processes))
        if pool == "thread":
            self.begin(0)

    def request_drain(self) -> None:
        """Ask every process to hand its runs back. Safe in a signal handler."""
        self.drain_requested = True
        self.pipes.request_drain()

    async def _reserve(self, processes: int, concurrency: int) -> WorkerSlots:
        # Opening the parts here reports a bad one once, and children share what it imports.
        await self._host.try_parts()
        return WorkerSlots(await self._host.reserve(concurrency=concurrency, processes=processes))

    # -- each process that runs tasks ----------------------------------------------------

    def begin(self, index: int) -> None:
        """Start the loop of the pool's process ``index``, and its worker on it."""

        def worker() -> AbstractAsyncContextManager[RunWorker]:
            return self._open(index)

        runtime.loop_thread = LoopThread(
            worker, self._host.open_executor, self.pipes, grace=self._grace
        )
        runtime.loop_thread.start()

    def end(self) -> None:
        """Hand this process's runs back, deregister its worker, and end its loop."""
        if runtime.loop_thread is not None:
            runtime.loop_thread.close()
            runtime.loop_thread = None

    @asynccontextmanager
    async def _open(self, index: int) -> AsyncGenerator[RunWorker]:
        slots = self._slots
        if slots is None or index >= len(slots):
            # The pool has grown: the new process reserves connections for itself.
            slots = await self._reserve(1, 1)
            slot = slots.take(0)
        else:
            slot = slots.take(index)
        async with self._host.worker(record=slot.record, pool_limit=slots.pool_limit) as worker:
            # Celery would replace a single process of its pool, so the main process drains.
            worker.drain_with(lambda: os.kill(self._main_process, signal.SIGTERM))
            await self._release_predecessor(slot, worker)
            checking = None
            if index == 0 and isinstance(worker.executor, Broker):
                checking = asyncio.create_task(resubmit_lost_messages(worker.executor, worker))
            try:
                yield worker
            finally:
                if checking is not None:
                    checking.cancel()

    async def _release_predecessor(self, slot: Slot, worker: RunWorker) -> None:
        """Recover the runs of the process that this one replaces, at once."""
        if slot.predecessor is not None:
            await worker.store.deregister(slot.predecessor)
            await worker.recover()
