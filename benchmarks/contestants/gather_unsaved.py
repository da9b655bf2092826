"""The yardstick: the bare script that asks, believes every answer, and saves nothing."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from openai import AsyncOpenAI
from paceline.contracts.step import Subject
from paceline.roadmaps.model import Roadmap
from paceline_adapters.bench.protocol import RoundSpec

from benchmarks.contestants.compete import Generate, compete
from benchmarks.contestants.work import STEPS, ask, make_client, subjects


@asynccontextmanager
async def asking(order: RoundSpec) -> AsyncGenerator[Generate]:
    """Every concept at once, and nothing is done with what comes."""
    async with make_client(order.base_url, order.api_key) as client:

        async def generate(roadmaps: Sequence[Roadmap]) -> None:
            everything = [subject for roadmap in roadmaps for subject in subjects(roadmap)]
            await asyncio.gather(*(concept(client, order.model, one) for one in everything))

        yield generate


async def concept(client: AsyncOpenAI, model: str, subject: Subject) -> None:
    """Ask step by step. The later prompts do not quote the tutorial, since nobody reads it."""
    for step in STEPS:
        await ask(client, model, subject, step)


if __name__ == "__main__":
    compete(asking)
