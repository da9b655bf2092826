"""What is counted, and what is drawn from the seed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest
from paceline.testing.virtual_time import real_time
from paceline_adapters.simulator import Figures, SimulatorOptions
from paceline_adapters.simulator.engine import Engine
from paceline_adapters.simulator.wire import read_request

from tests.support.eventually import eventually_async
from tests.support.simulator_clients import FAST, Clients, body, content, simulator, wants


async def stats(clients: Clients) -> Figures:
    """The figures as anyone gets them."""
    async with clients.http.get(f"{clients.server.root_url}/__paceline/stats") as response:
        return Figures.model_validate(await response.json())


def seconds(seed: int, prompts: list[str], **more: Any) -> dict[str, float]:
    """Latency of each prompt, requested in this order."""
    engine = Engine(SimulatorOptions(seed=seed))
    found = dict[str, float]()
    for text in prompts:
        request = read_request(json.dumps(body(text, **more)).encode())
        found[text] = engine.admit(request, engine.identify(request), 0.0).seconds
    return found


def test_latencies_do_not_depend_on_the_order_of_arrival() -> None:
    prompts = [f"Concept: {n}" for n in range(50)]
    assert seconds(1, prompts) == seconds(1, prompts[::-1])
    assert seconds(1, prompts) != seconds(2, prompts)


@pytest.mark.parametrize(
    ("step", "low", "high"), [("tutorial", 20, 30), ("resources", 15, 20), ("quiz", 10, 15)]
)
def test_each_step_has_its_latency(step: str, low: float, high: float) -> None:
    prompts = [f"Concept: {n}" for n in range(60)]
    by_schema = seconds(0, prompts, **wants(step))
    assert all(low <= taken <= high for taken in by_schema.values())
    assert max(by_schema.values()) - min(by_schema.values()) > (high - low) * 0.8
    # The metadata go before the schema's name.
    by_metadata = seconds(0, prompts, metadata={"paceline_step": step}, **wants("quiz"))
    assert all(low <= taken <= high for taken in by_metadata.values())
    assert all(1 <= taken <= 2 for taken in seconds(0, prompts).values())


@real_time
async def test_a_call_takes_its_drawn_latency() -> None:
    async with simulator(speed=10, latency={"default": "2-3"}) as clients:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await clients.ask()
        assert 0.2 <= loop.time() - started < 5


@real_time
async def test_a_repeated_prompt_is_paid_twice() -> None:
    async with simulator() as clients:
        for text in "aaabbc":
            await clients.ask(text)
        figures = await stats(clients)
        assert figures == clients.server.figures()
        assert (figures.paid, figures.completed, figures.requests) == (6, 6, 6)
        assert figures.prompts_distinct == 3
        assert figures.prompts_paid_twice == 2
        assert figures.paid_again == 3
        assert figures.prompt_tokens == 6
        assert figures.completion_tokens > 1_000


@real_time
async def test_the_same_text_for_another_model_is_another_prompt() -> None:
    async with simulator() as clients:
        await clients.ask("a")
        await clients.ask("a", model="gpt-4o")
        assert clients.server.figures().prompts_distinct == 2


@pytest.mark.parametrize("streamed", [False, True])
@real_time
async def test_a_call_is_abandoned_and_paid_if_its_client_disconnects(streamed: bool) -> None:
    async with simulator(speed=1) as clients:
        task = asyncio.create_task(
            clients.openai.chat.completions.create(**body(stream=streamed, **wants("quiz")))
        )
        await eventually_async(lambda: clients.server.figures().in_flight == 1)
        task.cancel()
        await eventually_async(lambda: clients.server.figures().in_flight == 0)
        figures = clients.server.figures()
        assert (figures.abandoned, figures.paid, figures.completed) == (1, 1, 0)
        assert figures.by_step["quiz"].paid == 1


@real_time
async def test_every_request_is_counted() -> None:
    faults = {
        "429": 0.1, "500": 0.1, "disconnect": 0.1, "garbage": 0.1, "bad-json-body": 0.1,
        "hang": 0.1,
    }  # fmt: skip

    def hanging(clients: Clients) -> int:
        return clients.server.figures().in_flight

    async with simulator(faults=faults, max_concurrency=60) as clients:
        tasks = [asyncio.create_task(clients.ask(f"Concept: {n % 90}")) for n in range(120)]
        await eventually_async(lambda: sum(t.done() for t in tasks) + hanging(clients) == 120)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await eventually_async(lambda: clients.server.figures().in_flight == 0)
        figures = clients.server.figures()
        hit = figures.faults
        assert figures.requests == 120
        assert figures.in_flight_peak <= 60
        assert figures.paid == figures.completed + figures.abandoned + hit["disconnect"]
        assert figures.requests == figures.paid + figures.refused + hit["500"]
        assert figures.unusable == sum(
            hit[name] for name in ("disconnect", "garbage", "bad-json-body", "hang")
        )
        assert figures.paid == figures.prompts_distinct + figures.paid_again
        assert figures.by_step["default"].requests == 120


@real_time
async def test_reset_starts_the_figures_and_random_values_again() -> None:
    async with simulator() as clients:
        first = content(await clients.ask())
        assert content(await clients.ask()) != first
        async with clients.http.post(f"{clients.server.root_url}/__paceline/reset") as done:
            assert done.status == 200
        assert await stats(clients) == Figures()
        assert content(await clients.ask()) == first


@real_time
async def test_a_call_in_flight_at_a_reset_is_not_counted() -> None:
    async with simulator(faults={"hang": 1}) as clients:
        task = asyncio.create_task(clients.ask())
        await eventually_async(lambda: clients.server.figures().in_flight == 1)
        clients.server.reset()
        assert clients.server.figures().in_flight_peak == 1
        task.cancel()
        await eventually_async(lambda: clients.server.figures().in_flight == 0)
        assert (clients.server.figures().paid, clients.server.figures().abandoned) == (0, 0)


def test_the_log_has_one_line_per_request(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"

    async def scenario() -> None:
        async with simulator(log=path, faults={"500": 1}, fault_first=1) as clients:
            with pytest.raises(openai.InternalServerError):
                await clients.ask(**wants("quiz"))
            await clients.ask(**wants("quiz"))
            with pytest.raises(openai.NotFoundError):
                await clients.ask(model="none")
            async with clients.post([]):
                pass

    asyncio.run(scenario())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["status"] for line in lines] == [500, 200, 404, 400]
    assert [line["step"] for line in lines] == ["quiz", "quiz", None, None]
    assert lines[0]["prompt"] == lines[1]["prompt"] != lines[2]["prompt"]
    assert all(line["started"] <= line["ended"] for line in lines)


@real_time
async def test_a_thousand_calls_are_in_flight_at_once() -> None:
    async with simulator(faults={"hang": 1}, fault_first=1, speed=FAST) as clients:

        async def ask(number: int) -> None:
            async with clients.post(body(f"Concept: {number}")):
                pass

        tasks = [asyncio.create_task(ask(number)) for number in range(1_000)]
        await eventually_async(lambda: clients.server.figures().in_flight == 1_000, 60)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await eventually_async(lambda: clients.server.figures().in_flight == 0)
        assert clients.server.figures().abandoned == 1_000
