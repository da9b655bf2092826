"""``asyncio.gather`` with a semaphore of five per roadmap, one commit per artifact."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from paceline import Roadmap, Subject
from paceline_adapters.bench.protocol import RoundSpec

from benchmarks.contestants.compete import Generate, compete
from benchmarks.contestants.gather import concept
from benchmarks.contestants.work import insert_run, make_client, open_database, subjects

#: The strategy that it is compared with; it also sets the limit.
STRATEGY = "per-roadmap:limit=5"


@asynccontextmanager
async def gathering_by_five(spec: RoundSpec) -> AsyncGenerator[Generate]:
    """All roadmaps at once, five concepts of each."""
    limit = int(spec.settings["strategies.per-roadmap.limit"])
    async with (
        make_client(spec.base_url, spec.api_key) as client,
        open_database(spec) as database,
    ):

        async def one_of_five(semaphore: asyncio.Semaphore, run_id: str, subject: Subject) -> None:
            async with semaphore:
                await concept(client, database, spec.model, run_id, subject)

        async def one_roadmap(run_id: str, roadmap: Roadmap) -> None:
            semaphore = asyncio.Semaphore(limit)
            await asyncio.gather(
                *(one_of_five(semaphore, run_id, subject) for subject in subjects(roadmap))
            )

        async def generate(roadmaps: Sequence[Roadmap]) -> None:
            async with database.begin() as connection:
                ids = [await insert_run(connection, roadmap) for roadmap in roadmaps]
            await asyncio.gather(*map(one_roadmap, ids, roadmaps))

        yield generate


if __name__ == "__main__":
    compete(gathering_by_five)
