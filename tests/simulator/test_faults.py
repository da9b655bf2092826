"""Faults, as the real client receives them."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import jsonschema
import openai
import pytest
from paceline.testing.virtual_time import real_time
from paceline_adapters.simulator.faults import FAULTS, pick

from tests.support.eventually import eventually_async
from tests.support.simulator_clients import (
    QUIZ,
    RESOURCES,
    Clients,
    body,
    content,
    simulator,
    wants,
)


@asynccontextmanager
async def every_call_meets(fault: str, **options: Any) -> AsyncGenerator[Clients]:
    """A simulator where every call meets the fault."""
    async with simulator(faults={fault: 1}, **options) as clients:
        yield clients
        await eventually_async(lambda: clients.server.figures().in_flight == 0)
        assert set(clients.server.figures().faults) == {fault}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429", openai.RateLimitError),
        ("500", openai.InternalServerError),
        ("503", openai.InternalServerError),
    ],
)
@real_time
async def test_errors_are_immediate_and_not_billed(fault: str, error: type[Exception]) -> None:
    # At speed 1 an answer would take seconds: none is waited for.
    async with every_call_meets(fault, speed=1) as clients:
        with pytest.raises(error) as caught:
            await clients.ask()
        assert isinstance(caught.value, openai.APIStatusError)
        assert caught.value.status_code == int(fault)
        assert ("retry-after" in caught.value.response.headers) == (fault == "429")
        figures = clients.server.figures()
        assert (figures.requests, figures.paid, figures.in_flight_peak) == (1, 0, 0)
        assert figures.refused == (fault == "429")


@pytest.mark.parametrize("streamed", [False, True])
@real_time
async def test_a_connection_is_cut_in_the_middle_of_a_paid_answer(streamed: bool) -> None:
    async with every_call_meets("disconnect") as clients:
        async with clients.post(body(stream=streamed)) as response:
            assert response.status == 200
            assert await response.content.readany()
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        figures = clients.server.figures()
        assert (figures.paid, figures.unusable, figures.completed) == (1, 1, 0)


@real_time
async def test_the_real_client_reports_a_connection_error() -> None:
    async with every_call_meets("disconnect") as clients:
        with pytest.raises(openai.APIConnectionError):
            await clients.ask()


@real_time
async def test_a_hanging_call_is_paid_when_the_client_disconnects() -> None:
    async with every_call_meets("hang") as clients:
        task = asyncio.create_task(clients.ask())
        await eventually_async(lambda: clients.server.figures().in_flight == 1)
        assert clients.server.figures().paid == 0
        task.cancel()
        await eventually_async(lambda: clients.server.figures().in_flight == 0)
        figures = clients.server.figures()
        assert (figures.abandoned, figures.paid, figures.unusable) == (1, 1, 1)


@real_time
async def test_a_slow_answer_is_complete() -> None:
    async with every_call_meets("slow", speed=50) as clients:
        async with clients.post(body()) as response:
            parts = [part async for part in response.content.iter_any()]
        assert len(parts) > 5
        assert json.loads(b"".join(parts))["choices"][0]["finish_reason"] == "stop"
        figures = clients.server.figures()
        assert (figures.completed, figures.unusable) == (1, 0)
        stream = await clients.openai.chat.completions.create(**body(stream=True))
        assert [c async for c in stream][-1].choices[0].finish_reason == "stop"


@real_time
async def test_a_bad_body_is_not_json() -> None:
    async with every_call_meets("bad-json-body") as clients:
        async with clients.post(body()) as response:
            assert response.status == 200
            with pytest.raises(json.JSONDecodeError):
                await response.json()
        stream = await clients.openai.chat.completions.create(**body(stream=True))
        with pytest.raises(json.JSONDecodeError):
            _ = [chunk async for chunk in stream]
        assert clients.server.figures().unusable == 2


@pytest.mark.parametrize("fault", ["garbage", "ignore-schema"])
@real_time
async def test_content_can_be_something_other_than_json(fault: str) -> None:
    async with every_call_meets(fault) as clients:
        text = content(await clients.ask(**wants("quiz")))
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


@real_time
async def test_content_can_lack_required_fields() -> None:
    async with every_call_meets("schema-invalid") as clients:
        document = await clients.document(**wants("quiz"))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, QUIZ)


@real_time
async def test_content_can_match_the_schema_with_meaningless_values() -> None:
    async with every_call_meets("wrong") as clients:
        quiz = await clients.document(**wants("quiz"))
        jsonschema.validate(quiz, QUIZ)
        assert all(q["answer"] >= len(q["options"]) for q in quiz["questions"])
        assert all(q["question"] == "" for q in quiz["questions"])
        found = await clients.document(**wants("resources"))
        jsonschema.validate(found, RESOURCES)
        assert all(resource["url"] == "not a url" for resource in found["resources"])


@pytest.mark.parametrize(("fault", "finish"), [("truncated", "length"), ("no-finish", None)])
@real_time
async def test_content_can_be_truncated(fault: str, finish: str | None) -> None:
    async with every_call_meets(fault) as clients:
        answer = await clients.ask(**wants("quiz"))
        assert answer.choices[0].finish_reason == finish
        with pytest.raises(json.JSONDecodeError):
            json.loads(content(answer))
        stream = await clients.openai.chat.completions.create(**body(stream=True, **wants("quiz")))
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].choices[0].finish_reason == finish


@real_time
async def test_content_can_be_empty() -> None:
    async with every_call_meets("empty") as clients:
        assert content(await clients.ask()) == ""


@real_time
async def test_a_refusal_replaces_the_content() -> None:
    async with every_call_meets("refusal") as clients:
        answer = await clients.ask("Concept: Locks")
        assert answer.choices[0].message.content is None
        assert answer.choices[0].message.refusal == "I'm sorry, but I can't help with Locks."
        stream = await clients.openai.chat.completions.create(**body(stream=True))
        deltas = [chunk.choices[0].delta async for chunk in stream]
        assert "".join(delta.refusal or "" for delta in deltas).startswith("I'm sorry")


@real_time
async def test_a_fault_can_affect_only_the_first_attempts() -> None:
    async with simulator(faults={"503": 1}, fault_first=2) as clients:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError):
                await clients.ask()
        await clients.ask()
        with pytest.raises(openai.InternalServerError):
            await clients.ask("Concept: another")
        clients.server.reset()
        with pytest.raises(openai.InternalServerError):
            await clients.ask()


@pytest.mark.parametrize("fault", ["garbage", "empty"])
@real_time
async def test_a_repair_counts_as_another_attempt(fault: str) -> None:
    async with simulator(faults={fault: 1}, fault_first=1) as clients:
        request = body(**wants("quiz"))
        first = content(await clients.openai.chat.completions.create(**request))
        if first:
            request["messages"].append({"role": "assistant", "content": first})
        request["messages"].append({"role": "user", "content": "That was not JSON."})
        second = await clients.openai.chat.completions.create(**request)
        jsonschema.validate(json.loads(content(second)), QUIZ)
        figures = clients.server.figures()
        assert (figures.prompts_distinct, figures.paid_again) == (2, 0)


def test_faults_have_their_rate_and_affect_the_same_prompts_in_any_order() -> None:
    rates = dict.fromkeys(FAULTS, 0.05)
    prompts = [f"prompt {n}" for n in range(4_000)]
    hits = {p: pick(rates, seed=7, prompt=p, attempt=0) for p in prompts}
    again = {p: pick(rates, seed=7, prompt=p, attempt=0) for p in reversed(prompts)}
    assert hits == again
    counts = [list(hits.values()).count(name) for name in FAULTS]
    assert all(130 < count < 270 for count in counts)
