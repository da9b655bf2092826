"""``asyncio.gather`` with a semaphore of five per roadmap, one commit per artifact."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from paceline.contracts.step import Subject
from paceline.roadmaps.model import Roadmap
from paceline_adapters.bench.protocol import RoundSpec

from benchmarks.contestants.compete import Generate, compete
from benchmarks.contestants.gather import concept
from benchmarks.contestants.work import begin_run, make_client, open_database, subjects

#: What of ours it is compared with, and where its limit comes from.
STRATEGY = "per-roadmap:limit=5"


@asynccontextmanager
async def gathering_by_five(order: RoundSpec) -> AsyncGenerator[Generate]:
    """Every roadmap at once, five concepts of each."""
    limit = int(order.settings["strategies.per-roadmap.limit"])
    async with (
        make_client(order.base_url, order.api_key) as client,
        open_database(order) as database,
    ):

        async def one_of_five(turn: asyncio.Semaphore, run_id: str, subject: Subject) -> None:
            async with turn:
                await concept(client, database, order.model, run_id, subject)

        async def one_roadmap(run_id: str, roadmap: Roadmap) -> None:
            turn = asyncio.Semaphore(limit)
            await asyncio.gather(
                *(one_of_five(turn, run_id, subject) for subject in subjects(roadmap))
            )

        async def generate(roadmaps: Sequence[Roadmap]) -> None:
            async with database.begin() as connection:
                ids = [await begin_run(connection, roadmap) for roadmap in roadmaps]
            await asyncio.gather(*map(one_roadmap, ids, roadmaps))

        yield generate


if __name__ == "__main__":
    compete(gathering_by_five)
