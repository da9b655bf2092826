"""Executors as an author might get them wrong, one fault each, and the right one.

The queue is a folder: a file per message, whose name is the run's id and a number. Workers load
this module as a plugin.
"""

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path

from paceline import Context, Options, Register, hookimpl
from paceline.contracts.executor import Executor
from paceline.contracts.storage.records import Claim
from paceline.contracts.worker import RunWorker
from paceline.errors import PacelineError
from paceline.runtime.worker import Worker

#: Seconds between two looks at the folder.
LOOK = 0.05


class FolderOptions(Options):
    """Options of all of them."""

    folder: Path


class Right(Executor):
    """Takes a message when there is room, and puts back what could not be run."""

    name = "right"

    def __init__(self, options: FolderOptions, context: Context) -> None:
        self.folder = options.folder
        self.context = context

    async def submit(self, run_id: str) -> None:
        (self.folder / f"{run_id}.{secrets.token_hex(4)}").touch()

    async def cancel(self, run_id: str) -> None:
        for message in self.folder.glob(f"{run_id}.*"):
            message.unlink(missing_ok=True)

    async def queued(self) -> int | None:
        return len(list(self.folder.iterdir()))

    def serve(self, *, concurrency: int | None = None) -> int:
        return asyncio.run(self.work(concurrency or self.concurrency))

    async def work(self, concurrency: int) -> int:
        async with self.context.host().worker(concurrency=concurrency) as worker:
            serving = asyncio.create_task(self.take(worker, concurrency))
            return await worker.serve_until_signalled(serving)

    async def take(self, worker: RunWorker, concurrency: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            working: set[asyncio.Task[None]] = set()
            while not worker.draining:
                for message in sorted(self.folder.iterdir()):
                    if len(working) < concurrency:
                        message.unlink()
                        run = tasks.create_task(self.run(worker, message.name.partition(".")[0]))
                        working.add(run)
                        run.add_done_callback(working.discard)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await worker.until_draining()

    async def run(self, worker: RunWorker, run_id: str) -> None:
        try:
            status = await worker.run(run_id)
        except PacelineError:
            await asyncio.sleep(LOOK)
            await self.submit(run_id)
        else:
            if status is None and worker.draining:
                await self.submit(run_id)


class RunsTwice(Right):
    """Remembers its claims, and works on a run again with the one that it has."""

    name = "runs-twice"

    def __init__(self, options: FolderOptions, context: Context) -> None:
        super().__init__(options, context)
        self.claims: dict[str, Claim] = {}

    async def run(self, worker: RunWorker, run_id: str) -> None:
        assert isinstance(worker, Worker)
        claim = self.claims.get(run_id) or await worker.store.claim(
            run_id, worker.record.worker_id, lease=600.0
        )
        if claim is not None:
            self.claims[run_id] = claim
            with suppress(KeyError):  # the second to end
                await worker.work_on(claim)


class ForgetsTheEarly(Right):
    """A worker begins with an empty queue."""

    name = "forgets-the-early"

    async def take(self, worker: RunWorker, concurrency: int) -> None:
        for message in self.folder.iterdir():
            message.unlink()
        await super().take(worker, concurrency)


class Exceeds(Right):
    """Takes whatever is there."""

    name = "exceeds"

    async def take(self, worker: RunWorker, concurrency: int) -> None:
        await super().take(worker, concurrency=1000)


class DiesOfErrors(Right):
    """What a run raises ends all."""

    name = "dies-of-errors"

    async def run(self, worker: RunWorker, run_id: str) -> None:
        await worker.run(run_id)


class KeepsWhatItTook(Right):
    """Takes all messages at once, and puts none back when it is stopped."""

    name = "keeps-what-it-took"

    async def take(self, worker: RunWorker, concurrency: int) -> None:
        room = asyncio.Semaphore(concurrency)

        async def one(run_id: str) -> None:
            async with room:
                if not worker.draining:
                    await worker.run(run_id)

        async with asyncio.TaskGroup() as tasks:
            while not worker.draining:
                for message in sorted(self.folder.iterdir()):
                    message.unlink()
                    tasks.create_task(one(message.name.partition(".")[0]))
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await worker.until_draining()


class NeverStops(Right):
    """Hears no signal."""

    name = "never-stops"

    async def take(self, worker: RunWorker, concurrency: int) -> None:
        await super().take(worker, concurrency)
        await asyncio.Event().wait()


class QueuesInMemory(Right):
    """A queue that only its own process knows."""

    name = "queues-in-memory"

    async def submit(self, run_id: str) -> None:
        self.memory = [*getattr(self, "memory", ()), run_id]

    async def queued(self) -> int | None:
        return len(getattr(self, "memory", ()))


ALL: tuple[type[Right], ...] = (
    Right,
    RunsTwice,
    ForgetsTheEarly,
    Exceeds,
    DiesOfErrors,
    KeepsWhatItTook,
    NeverStops,
    QueuesInMemory,
)


@hookimpl
def paceline_register_executors(register: Register[Executor]) -> None:
    """Offer each by its name."""
    for made in ALL:
        register(made.name, made, options=FolderOptions, summary="For tests.")
