"""Processor time of one call for several clients, and of the work around a call.

Each client makes the same calls, 64 at once, to a simulated provider that answers immediately in
another process. Only the time of this process is measured, and no waiting.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest
from paceline.contracts.provider import Completion, CompletionRequest
from paceline.settings.model import ProviderSettings
from paceline.steps.answers import parse_answer
from paceline_adapters.bench.environments import simulated_provider
from paceline_adapters.demo.command import example_roadmaps
from paceline_adapters.openai.dialect import Dialect
from paceline_adapters.openai.provider import OpenAIProvider
from pydantic import SecretStr
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.contestants.work import STEPS, ask, make_client, subjects
from benchmarks.sync_context import run_context

MODEL = "gpt-4o-mini"
KEY = "sk-benchmark"
CALLS, AT_ONCE = 320, 64
STEP = "tutorial"
SUBJECTS = list(subjects(example_roadmaps()[0]))
SCHEMA = STEPS[STEP].answer.model_json_schema()
REQUESTS = [
    CompletionRequest(messages=tuple(STEPS[STEP].prompt(subject)), step=STEP, schema=SCHEMA)
    for subject in SUBJECTS
]

#: Makes the call with this number.
Call = Callable[[int], Awaitable[object]]


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A simulated provider that answers immediately."""
    simulated = simulated_provider(["--speed", "100000"], tmp_path_factory.mktemp("simulator"))
    with asyncio.Runner() as runner, run_context(runner, simulated) as llm:
        yield llm.base_url


@asynccontextmanager
async def create(base_url: str) -> AsyncGenerator[Call]:
    """``chat.completions.create``, as in the bare script."""
    async with make_client(base_url, KEY) as client:
        yield lambda number: ask(client, MODEL, SUBJECTS[number % len(SUBJECTS)], STEP)


@asynccontextmanager
async def provider(base_url: str) -> AsyncGenerator[Call]:
    """Paceline's provider, with the same client and transport."""
    made = OpenAIProvider(ProviderSettings(base_url=base_url, api_key=SecretStr(KEY)))
    yield lambda number: made.complete(REQUESTS[number % len(REQUESTS)])
    await made.close()


@asynccontextmanager
async def bare_aiohttp(base_url: str) -> AsyncGenerator[Call]:
    """The same requests without a provider's client: the lower bound."""
    dialect = Dialect(MODEL, newest=False)
    bodies = [dialect.put(request)[0] for request in REQUESTS]
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def call(number: int) -> object:
            body = bodies[number % len(bodies)]
            async with session.post(f"{base_url}/chat/completions", data=body) as response:
                return await response.json()

        yield call


async def make_calls(call: Call) -> None:
    """Make all calls, ``AT_ONCE`` of them concurrently."""
    numbers = iter(range(CALLS))

    async def one_after_another() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


@pytest.mark.benchmark(group="320 calls", timer=time.process_time)
@pytest.mark.parametrize(
    "client", [create, provider, bare_aiohttp], ids=lambda client: client.__name__
)
def test_calls(
    benchmark: BenchmarkFixture,
    base_url: str,
    client: Callable[[str], AbstractAsyncContextManager[Call]],
) -> None:
    """The same calls with three clients."""
    with asyncio.Runner() as runner, run_context(runner, client(base_url)) as call:
        runner.run(make_calls(call))
        benchmark.pedantic(  # type: ignore[no-untyped-call]
            lambda: runner.run(make_calls(call)), rounds=5
        )


@pytest.mark.benchmark(group="around a call", timer=time.process_time)
def test_writing_a_prompt(benchmark: BenchmarkFixture) -> None:
    """Render the prompt of one concept."""
    benchmark(lambda: STEPS[STEP].prompt(SUBJECTS[0]))


@pytest.mark.benchmark(group="around a call", timer=time.process_time)
def test_checking_an_answer(benchmark: BenchmarkFixture, base_url: str) -> None:
    """Parse and validate the text of a tutorial."""

    async def answered() -> str:
        async with provider(base_url) as call:
            completion = await call(0)
            assert isinstance(completion, Completion)
            return completion.text

    text = asyncio.run(answered())
    benchmark(lambda: parse_answer(STEPS[STEP].answer, text))
