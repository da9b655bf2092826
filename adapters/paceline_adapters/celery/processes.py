"""What happens when a Celery worker begins, forks and ends; the same however it was started."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from paceline import Context, Executor, SettingsError
from paceline.runtime.open_worker import open_worker, reserve_connections, worker_records
from paceline.runtime.parts import open_executor, open_parts
from paceline.runtime.recovery import recover
from paceline.runtime.worker import Worker

from paceline_adapters.celery.bell import Bell
from paceline_adapters.celery.executor import CeleryExecutor
from paceline_adapters.celery.loop import LoopThread
from paceline_adapters.celery.lost_messages import look_for_lost_messages
from paceline_adapters.celery.plugin import NAME
from paceline_adapters.celery.slots import Place, Slots

log = logging.getLogger("paceline.worker")


class Processes:
    """The processes of one Celery worker.

    Made in the main process; with the pool ``prefork`` each child has the fork's copy of it.

    Args:
        context: settings and plugins.

    Attributes:
        bell: reaches every process.
        told: whether it told them to drain.
        thread: the loop of this process, if it runs tasks.
    """

    def __init__(self, context: Context) -> None:
        self._settings, self._plugins = context.settings, context.plugins
        self.bell = Bell()
        self.told = False
        self.thread: LoopThread | None = None
        self._slots: Slots | None = None

    # -- main process --------------------------------------------------------------------

    def prepare(self, pool: str, concurrency: int) -> None:
        """Reserve connections for all processes, before the fork.

        Args:
            pool: Celery's name of the pool.
            concurrency: how many tasks it runs at once.

        Raises:
            SettingsError: the pool cannot be used.
            BudgetError: the connections do not fit the database.
            PartUnavailable: the database cannot be reached.
        """
        if pool not in ("prefork", "thread"):
            raise SettingsError(
                f"Celery's pool {pool!r} cannot run roadmaps: prefork and threads can"
            )
        processes = concurrency if pool == "prefork" else 1
        self._slots = asyncio.run(self._reserve(processes, concurrency // processes))
        if pool == "thread":
            self.begin(0)

    def drain(self) -> None:
        """Tell every process to hand its runs back; safe in a signal handler."""
        self.told = True
        self.bell.drain()

    async def _reserve(self, processes: int, concurrency: int) -> Slots:
        # A part that cannot be made is found here, once; and what it imports, children share.
        async with open_parts(self._settings, self._plugins, worker_id="", pool_limit=1):
            pass
        records = worker_records(
            self._settings, executor=NAME, concurrency=concurrency, processes=processes
        )
        limit, warning = await reserve_connections(self._settings, self._plugins, records)
        if warning:
            log.warning(warning)
        return Slots(records, limit)

    # -- each process that runs tasks ----------------------------------------------------

    def begin(self, index: int) -> None:
        """Start this process's loop, and its worker on it.

        Args:
            index: which of the pool's processes it is.
        """

        def opened() -> AbstractAsyncContextManager[Worker]:
            return self._open(index)

        def executor() -> AbstractAsyncContextManager[Executor]:
            return open_executor(self._settings, self._plugins)

        self.thread = LoopThread(opened, executor, self.bell)
        self.thread.start()

    def end(self) -> None:
        """Hand back what is in work here, sign the worker off, and end the loop."""
        if self.thread is not None:
            self.thread.close()
            self.thread = None

    @asynccontextmanager
    async def _open(self, index: int) -> AsyncGenerator[Worker]:
        slots = self._slots
        if slots is None or index >= len(slots):
            # The pool was told to grow: the newcomer asks for connections of its own.
            slots = await self._reserve(1, 1)
            place = slots.take(0)
        else:
            place = slots.take(index)
        async with open_worker(
            self._settings, self._plugins, place.record, pool_limit=slots.pool_limit
        ) as worker:
            await self._succeed(place, worker)
            looking = None
            if index == 0 and isinstance(worker.parts.executor, CeleryExecutor):
                looking = asyncio.create_task(
                    look_for_lost_messages(worker.parts.executor, worker.parts.store)
                )
            try:
                yield worker
            finally:
                if looking is not None:
                    looking.cancel()

    async def _succeed(self, place: Place, worker: Worker) -> None:
        """Free the runs of the process that this one replaces, at once."""
        if place.predecessor is not None:
            await worker.parts.store.deregister(place.predecessor)
            await recover(worker.parts.store, self._settings, worker.parts.executor)
