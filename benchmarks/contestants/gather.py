"""Bare ``asyncio.gather`` over all concepts of all roadmaps, one commit per artifact."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from openai import AsyncOpenAI
from paceline import Roadmap, Subject
from paceline_adapters.bench.protocol import RoundSpec
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.contestants.compete import Generate, compete
from benchmarks.contestants.work import (
    STEPS,
    ask,
    insert_artifact,
    insert_run,
    make_client,
    open_database,
    subjects,
    validate,
)


@asynccontextmanager
async def gathering(spec: RoundSpec) -> AsyncGenerator[Generate]:
    """All concepts at once."""
    async with (
        make_client(spec.base_url, spec.api_key) as client,
        open_database(spec) as database,
    ):

        async def generate(roadmaps: Sequence[Roadmap]) -> None:
            async with database.begin() as connection:
                ids = [await insert_run(connection, roadmap) for roadmap in roadmaps]
            await asyncio.gather(
                *(
                    concept(client, database, spec.model, run_id, subject)
                    for run_id, roadmap in zip(ids, roadmaps, strict=True)
                    for subject in subjects(roadmap)
                )
            )

        yield generate


async def concept(
    client: AsyncOpenAI, database: AsyncEngine, model: str, run_id: str, subject: Subject
) -> None:
    """Make the calls step by step and commit each artifact."""
    for step in STEPS:
        row = validate(await ask(client, model, subject, step), subject)
        async with database.begin() as connection:
            await connection.execute(insert_artifact, {"run_id": run_id, **row})


if __name__ == "__main__":
    compete(gathering)
