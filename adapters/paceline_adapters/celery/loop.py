"""The event loop of a worker process: one thread runs it as long as the process lives."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from paceline import Executor, PacelineError, PartUnavailable
from paceline.contracts.storage.records import RunStatus
from paceline.contracts.worker import RunWorker

from paceline_adapters.celery.shutdown_pipes import ShutdownPipes

log = logging.getLogger("paceline.worker")

#: Seconds between attempts while a part that the worker needs is unavailable.
RETRY = 2.0

#: Opens the worker of the process, on its loop and after the fork.
OpenWorker = Callable[[], AbstractAsyncContextManager[RunWorker]]
#: Opens an executor to submit with.
OpenExecutor = Callable[[], AbstractAsyncContextManager[Executor]]


class LoopThread:
    """Runs one worker on its own event loop, for tasks that block in other threads.

    The loop keeps running between tasks. Heartbeats and recovery therefore continue, and
    async clients never meet a second loop.

    Args:
        open_worker: opens the worker. It is retried while a part is unavailable.
        open_executor: opens an executor, to submit runs again if there is no worker yet.
        pipes: request a drain or a stop.
        grace: maximum number of seconds that a drain waits for calls in flight.
    """

    def __init__(
        self,
        open_worker: OpenWorker,
        open_executor: OpenExecutor,
        pipes: ShutdownPipes,
        *,
        grace: float,
    ) -> None:
        self._open_worker = open_worker
        self._open_executor = open_executor
        self._pipes = pipes
        self._grace = grace
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._main, name="paceline-loop", daemon=True)
        self._jobs: dict[str, asyncio.Task[RunStatus | None]] = {}
        self._redelivered: set[str] = set()
        self._draining: asyncio.Task[None] | None = None

    # -- called from other threads -------------------------------------------------------

    def start(self) -> None:
        """Start the loop. The worker opens in the background, as a database may be slow."""
        self._thread.start()
        self._started.wait()

    def work(self, run_id: str) -> RunStatus | None:
        """Call ``RunWorker.run``. Blocks until the run has ended or was handed back."""
        return asyncio.run_coroutine_threadsafe(self._work(run_id), self._loop).result()

    def expire(self, run_id: str) -> None:
        """Stop a run that has timed out. Blocks until it has failed or was handed back."""
        asyncio.run_coroutine_threadsafe(self._expire(run_id), self._loop).result()

    def drain(self) -> None:
        """Finish calls in flight and hand all runs back. Blocks until that is done."""
        asyncio.run_coroutine_threadsafe(self._drain_and_wait(), self._loop).result()

    def close(self) -> None:
        """Stop every run at once, deregister the worker, and end the loop."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    # -- on the loop ---------------------------------------------------------------------

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[RunWorker] = self._loop.create_future()
        self._drain_requested = asyncio.Event()
        self._stop_requested = asyncio.Event()
        self._closing = asyncio.Event()
        self._pipes.watch(self._drain, self._stop_requested.set)
        stopper = asyncio.create_task(self._stop_on_request())
        self._started.set()
        while not self._closing.is_set():
            try:
                async with self._open_worker() as worker:
                    self._opened.set_result(worker)
                    if self._drain_requested.is_set():
                        self._drain()
                    await self._closing.wait()
            except PacelineError as error:
                log.error(  # noqa: TRY400
                    "the worker cannot start: %s; trying again in %g s", error, RETRY
                )
                await _wait_at_most(RETRY, self._closing)
        stopper.cancel()

    async def _work(self, run_id: str) -> RunStatus | None:
        if run_id in self._jobs:
            # Either a duplicate, or the new message of a run that is just being handed back.
            self._redelivered.add(run_id)
            return None
        self._jobs[run_id] = _current_task()
        try:
            status = await self._run(run_id)
            handed_back = status == "queued" and run_id in self._redelivered
            if handed_back or (status is None and self._drain_requested.is_set()):
                # Celery is about to acknowledge the message, so the run needs another one.
                async with self._executor() as executor:
                    await executor.submit(run_id)
        finally:
            del self._jobs[run_id]
            self._redelivered.discard(run_id)
        return status

    async def _run(self, run_id: str) -> RunStatus | None:
        worker = await self._worker()
        while worker is not None and not worker.draining:
            try:
                return await worker.run(run_id)
            except PartUnavailable as error:
                log.warning(
                    "cannot claim run %s: %s; trying again in %g s",
                    run_id,
                    error,
                    RETRY,
                    extra={"run_id": run_id},
                )
                await _wait_at_most(RETRY, self._drain_requested)
        return None

    async def _worker(self) -> RunWorker | None:
        """Wait for the worker to open. Returns ``None`` if a drain is requested before that."""
        drain_requested = asyncio.ensure_future(self._drain_requested.wait())
        either: set[asyncio.Future[Any]] = {self._opened, drain_requested}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        drain_requested.cancel()
        return self._opened.result() if self._opened.done() else None

    @asynccontextmanager
    async def _executor(self) -> AsyncGenerator[Executor]:
        if self._opened.done():
            yield self._opened.result().executor
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
        self._drain_requested.set()
        if self._opened.done() and self._draining is None:
            self._draining = asyncio.create_task(self._opened.result().drain(self._grace))

    async def _drain_and_wait(self) -> None:
        self._drain()
        if self._draining is not None:
            await asyncio.wait({self._draining, *self._jobs.values()})

    async def _stop_on_request(self) -> None:
        await self._stop_requested.wait()
        self._drain_requested.set()
        await (await self._opened).stop()


async def _wait_at_most(seconds: float, event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _current_task() -> asyncio.Task[RunStatus | None]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("there is no running task")
    return task
