"""``asyncio.gather`` with a semaphore of five per roadmap, one commit per artifact."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from paceline.roadmap import Roadmap
from paceline.steps.contract import Subject

from benchmarks.contestants.gather import concept
from benchmarks.contestants.protocol import Assignment, Generate, compete
from benchmarks.contestants.work import begin_run, make_client, open_database, subjects

#: Concepts of a roadmap at once: what ``per-roadmap`` has as its default.
LIMIT = 5


@asynccontextmanager
async def gathering_by_five(assignment: Assignment) -> AsyncGenerator[Generate]:
    """Every roadmap at once, five concepts of each."""
    limit = int(assignment.settings.get("strategies.per-roadmap.limit", LIMIT))
    async with make_client(assignment) as client, open_database(assignment) as database:

        async def one_of_five(turn: asyncio.Semaphore, run_id: str, subject: Subject) -> None:
            async with turn:
                await concept(client, database, assignment.model, run_id, subject)

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
