"""The event loop of a worker process: a thread that runs it for the process's whole life."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from paceline import Executor, PacelineError, PartUnavailable
from paceline.contracts.records import RunStatus
from paceline.runtime.worker import Worker

from paceline_adapters.celery.bell import Bell

log = logging.getLogger("paceline.worker")

#: Seconds between attempts, while a part that a worker needs is away.
RETRY = 2.0

#: Opens the process's worker, on its loop and after the fork.
OpenWorker = Callable[[], AbstractAsyncContextManager[Worker]]
#: Opens an executor to submit with.
OpenExecutor = Callable[[], AbstractAsyncContextManager[Executor]]


class LoopThread:
    """Runs one ``Worker`` on an event loop of its own, for tasks that block in other threads.

    The loop never rests between tasks, so beats and recovery go on, and what was made on it
    never meets another.

    Args:
        open_worker: opens the worker; tried again as long as a part of it is away.
        open_executor: opens an executor, for runs that cannot be taken.
        bell: tells when to drain or stop.
    """

    def __init__(self, open_worker: OpenWorker, open_executor: OpenExecutor, bell: Bell) -> None:
        self._open_worker = open_worker
        self._open_executor = open_executor
        self._bell = bell
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._main, name="paceline-loop", daemon=True)
        self._jobs: dict[str, asyncio.Task[RunStatus | None]] = {}
        self._came_again: set[str] = set()
        self._draining: asyncio.Task[None] | None = None

    # -- called from other threads -------------------------------------------------------

    def start(self) -> None:
        """Start the loop. The worker opens in the background: databases may take their time."""
        self._thread.start()
        self._started.wait()

    def work(self, run_id: str) -> RunStatus | None:
        """Work on a run, as ``Worker.run``; blocks until it ends or was handed back."""
        return asyncio.run_coroutine_threadsafe(self._work(run_id), self._loop).result()

    def expire(self, run_id: str) -> None:
        """Stop a run whose time is up, and wait until it was handed back or has failed."""
        asyncio.run_coroutine_threadsafe(self._expire(run_id), self._loop).result()

    def drain(self) -> None:
        """Let calls in flight end, hand all runs back, and wait for it."""
        asyncio.run_coroutine_threadsafe(self._drained(), self._loop).result()

    def close(self) -> None:
        """Stop every run at once, sign the worker off, and end the loop."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    # -- on the loop ---------------------------------------------------------------------

    def _main(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[Worker] = self._loop.create_future()
        self._told_to_drain = asyncio.Event()
        self._told_to_stop = asyncio.Event()
        self._closing = asyncio.Event()
        self._bell.listen(self._drain, self._told_to_stop.set)
        stopper = asyncio.create_task(self._stop_when_told())
        self._started.set()
        while not self._closing.is_set():
            try:
                async with self._open_worker() as worker:
                    self._opened.set_result(worker)
                    if self._told_to_drain.is_set():
                        self._drain()
                    await self._closing.wait()
            except PacelineError as error:
                log.error("the worker cannot begin, and tries again: %s", error)  # noqa: TRY400
                await _first_of(self._closing, within=RETRY)
        stopper.cancel()

    async def _work(self, run_id: str) -> RunStatus | None:
        if run_id in self._jobs:
            # Delivered twice; or handed back just now, and delivered while it is wound up.
            self._came_again.add(run_id)
            return None
        self._jobs[run_id] = _this_task()
        try:
            status = await self._run(run_id)
            again = status == "queued" and run_id in self._came_again
            if again or (status is None and self._told_to_drain.is_set()):
                # Its message is about to be acknowledged: without another it would lie there.
                async with self._executor() as executor:
                    await executor.submit(run_id)
        finally:
            del self._jobs[run_id]
            self._came_again.discard(run_id)
        return status

    async def _run(self, run_id: str) -> RunStatus | None:
        worker = await self._worker()
        while worker is not None and not worker.draining:
            try:
                return await worker.run(run_id)
            except PartUnavailable as error:
                log.warning(
                    "run %s cannot be taken yet: %s", run_id, error, extra={"run_id": run_id}
                )
                await _first_of(self._told_to_drain, within=RETRY)
        return None

    async def _worker(self) -> Worker | None:
        """The worker, once it is open; ``None`` if the process shall end before."""
        told = asyncio.ensure_future(self._told_to_drain.wait())
        either: set[asyncio.Future[Any]] = {self._opened, told}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        return self._opened.result() if self._opened.done() else None

    @asynccontextmanager
    async def _executor(self) -> AsyncGenerator[Executor]:
        if self._opened.done():
            yield self._opened.result().parts.executor
        else:
            async with self._open_executor() as executor:
                yield executor

    async def _expire(self, run_id: str) -> None:
        job = self._jobs.get(run_id)
        if job is None:
            return
        if not (self._opened.done() and self._opened.result().expire(run_id)):
            job.cancel()
        await asyncio.wait({job})

    # -- stopping ------------------------------------------------------------------------

    def _drain(self) -> None:
        self._told_to_drain.set()
        if self._opened.done() and self._draining is None:
            worker = self._opened.result()
            grace = worker.parts.settings.run.grace
            self._draining = asyncio.create_task(worker.drain(grace))

    async def _drained(self) -> None:
        self._drain()
        if self._draining is not None:
            await asyncio.wait({self._draining, *self._jobs.values()})

    async def _stop_when_told(self) -> None:
        await self._told_to_stop.wait()
        self._told_to_drain.set()
        await (await self._opened).stop()


async def _first_of(event: asyncio.Event, *, within: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()


def _this_task() -> asyncio.Task[RunStatus | None]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("there is no running task")
    return task
