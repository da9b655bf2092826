"""The baseline: a script that makes the calls, without validating or saving answers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from openai import AsyncOpenAI
from paceline import Roadmap, Subject
from paceline_adapters.bench.protocol import RoundSpec

from benchmarks.contestants.compete import Generate, compete
from benchmarks.contestants.work import STEPS, ask, make_client, subjects


@asynccontextmanager
async def asking(spec: RoundSpec) -> AsyncGenerator[Generate]:
    """All concepts at once; the answers are ignored."""
    async with make_client(spec.base_url, spec.api_key) as client:

        async def generate(roadmaps: Sequence[Roadmap]) -> None:
            all_subjects = [subject for roadmap in roadmaps for subject in subjects(roadmap)]
            await asyncio.gather(*(concept(client, spec.model, one) for one in all_subjects))

        yield generate


async def concept(client: AsyncOpenAI, model: str, subject: Subject) -> None:
    """Make the calls step by step; later prompts do not contain the tutorial."""
    for step in STEPS:
        await ask(client, model, subject, step)


if __name__ == "__main__":
    compete(asking)
