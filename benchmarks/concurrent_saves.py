"""Two ways to save the artifacts of concepts that finish at the same time.

Both write the same rows with the same check of the claim, the same statements and equal pools. With
``grouped``, the store's own save, waiting writers share a transaction. With ``each``, every writer
has its own transaction.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count

from paceline import Artifact, Claim, Context, Settings, StoreSettings
from paceline_adapters.demo.command import example_roadmaps
from paceline_adapters.sql import schema
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.saves import Save, write_batch
from paceline_adapters.sql.store import SqlStore
from paceline_adapters.sql.url import parse_url
from pydantic import SecretStr

#: Connections of each pool, without overflow.
CONNECTIONS = 10
#: Lease of a claim in seconds, longer than any measurement.
_LEASE = 24 * 3600.0
#: Characters of an artifact, as in a short tutorial.
_LENGTH = 4000

COMMIT_MODES = ("grouped", "each")


@dataclass(frozen=True, slots=True)
class ConcurrentSaves:
    """One writer for each of the 227 concepts of the example roadmaps.

    Attributes:
        store: the store.
        database: an equal pool, for the mode ``each``.
        writers: the claim of the run and the concept id of each writer.
    """

    store: SqlStore
    database: Database
    writers: list[tuple[Claim, str]]
    _rounds: "count[int]"

    async def save(self, mode: str) -> None:
        """Save one new artifact per writer, all at once, in one of ``COMMIT_MODES``."""
        number = next(self._rounds)
        write = self._write(mode)
        await asyncio.gather(
            *(write(claim, _artifact(concept, f"step{number}")) for claim, concept in self.writers)
        )

    def _write(self, mode: str) -> Callable[[Claim, Artifact], Awaitable[None]]:
        if mode == "grouped":
            return lambda claim, artifact: self.store.save(claim, artifact, concept=None)
        return self._commit

    async def _commit(self, claim: Claim, artifact: Artifact) -> None:
        save = Save(claim, artifact, None)
        stale = await self.database.transaction(
            lambda connection: write_batch(connection, self.database.dialect, [save])
        )
        if stale:
            raise RuntimeError("the claim has expired")


def _artifact(concept: str, step: str) -> Artifact:
    return Artifact(
        concept_id=concept,
        step=step,
        content="x" * _LENGTH,
        model="model",
        prompt_tokens=100,
        completion_tokens=1000,
        cost=None,
        seconds=20.0,
        attempts=1,
    )


@asynccontextmanager
async def open_concurrent_saves(url: str) -> AsyncGenerator[ConcurrentSaves]:
    """Create the schema at a ``store.url``, claim runs of the example roadmaps, warm both pools."""
    settings = StoreSettings(url=SecretStr(url), pool_size=CONNECTIONS, max_overflow=0)
    await asyncio.to_thread(schema.upgrade, settings.url, settings)
    context = Context(settings=Settings(store=settings), worker_id="savers")
    store = SqlStore(context)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        await store.open()
        database = Database(
            parse_url(settings.url), settings, lease=_LEASE, size=store.pool().limit, overflow=0
        )
        stack.push_async_callback(database.dispose)
        writers: list[tuple[Claim, str]] = []
        for roadmap in example_roadmaps():
            run, _ = await store.create_run(roadmap, executor="in-process")
            claim = await store.claim(run.run_id, "savers", lease=_LEASE)
            if claim is None:
                raise RuntimeError(f"{run.run_id} cannot be claimed")
            writers += [(claim, concept.concept_id) for _, _, concept in roadmap.concepts()]
        saves = ConcurrentSaves(store, database, writers, count(1))
        for mode in COMMIT_MODES:
            await saves.save(mode)
        yield saves
