"""How the provider finds the parameters that a server accepts."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from paceline.contracts.provider import Message
from paceline.errors import Fatal, ProviderError, RequestTooLong
from paceline.testing.virtual_time import real_time

from tests.support.scripted_llm import (
    ANSWER,
    Handler,
    Scripted,
    asked,
    asking,
    completion,
    fault,
    reply,
)

pytestmark = pytest.mark.usefixtures("either_way")

GOOD = reply(completion())
NO_SCHEMA = fault(
    400, "Invalid parameter: unsupported 'response_format' of type 'json_schema'", param="x"
)


@real_time
async def ask(times: int, *script: Handler, **changes: object) -> Scripted:
    """Send this number of calls to a scripted server, one after the other."""
    async with asked(*script, **changes) as (provider, server):
        for _ in range(times):
            assert ANSWER in (await provider.complete(asking())).text
        return server


def form(body: dict[str, Any]) -> str:
    return str(body["response_format"]["type"]) if "response_format" in body else "plain"


def is_told(body: dict[str, Any]) -> bool:
    return "JSON schema" in body["messages"][-1]["content"]


@pytest.mark.parametrize(
    "refusal",
    [
        fault(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            code="unsupported_parameter",
        ),
        fault(400, "Unrecognized request argument supplied: max_tokens"),
        reply(
            {"detail": [{"loc": ["body", "max_tokens"], "msg": "Extra inputs are not permitted"}]},
            422,
        ),
    ],
)
def test_a_server_that_rejects_one_name_of_the_token_limit_gets_the_other_afterwards(
    refusal: Handler,
) -> None:
    server = ask(2, refusal, GOOD)
    assert [{name for name in body if name.startswith("max")} for body in server.bodies] == [
        {"max_tokens"},
        {"max_completion_tokens"},
        {"max_completion_tokens"},
    ]


def test_a_token_limit_that_is_too_large_is_not_mistaken_for_an_unknown_parameter() -> None:
    with pytest.raises(Fatal, match="too large"):
        ask(1, fault(400, "max_tokens is too large: 77. This model supports at most 5 tokens."))


def test_a_token_limit_in_the_settings_replaces_that_of_the_step() -> None:
    server = ask(1, GOOD, extra={"max_completion_tokens": 9000})
    assert server.bodies[0]["max_completion_tokens"] == 9000
    assert "max_tokens" not in server.bodies[0]


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_server_without_schemas_gets_a_json_object_and_the_schema_in_the_prompt(
    status: int,
) -> None:
    server = ask(2, fault(status, "response_format json_schema is not supported"), GOOD)
    assert [form(body) for body in server.bodies] == ["json_schema", "json_object", "json_object"]
    assert [is_told(body) for body in server.bodies] == [False, True, True]


def test_a_server_without_any_format_gets_the_schema_in_the_prompt_alone() -> None:
    server = ask(2, fault(400, "unknown field response_format"), NO_SCHEMA, GOOD)
    assert [form(body) for body in server.bodies] == [
        "json_schema",
        "json_object",
        "plain",
        "plain",
    ]
    assert is_told(server.bodies[-1])


def test_a_server_that_rejects_bounds_gets_the_schema_without_them() -> None:
    refusal = fault(400, "Invalid schema for response_format 'quiz': 'minimum' is not permitted.")
    server = ask(2, refusal, GOOD)
    assert [form(body) for body in server.bodies] == ["json_schema"] * 3
    marks = server.bodies[-1]["response_format"]["json_schema"]["schema"]["properties"]["marks"]
    assert marks == {"type": "integer", "description": "(at least 1)"}


def test_two_rejected_parameters_are_learned_within_one_attempt() -> None:
    server = ask(1, fault(400, "max_tokens: unknown parameter"), NO_SCHEMA, GOOD)
    assert len(server.bodies) == 3
    assert form(server.bodies[-1]) == "json_object"
    assert "max_completion_tokens" in server.bodies[-1]


@real_time
async def test_a_server_that_rejects_everything_gets_only_a_few_requests() -> None:
    refusal = fault(400, "unsupported: max_tokens, max_completion_tokens, response_format")
    async with asked(refusal) as (provider, server):
        with pytest.raises(ProviderError):
            await provider.complete(asking())
        requests = len(server.bodies)
    assert requests <= 6


@real_time
async def test_simultaneous_rejections_are_learned_once() -> None:
    async def only_objects(request: web.Request) -> web.StreamResponse:
        rejected = form(await request.json()) == "json_schema"
        return await (NO_SCHEMA if rejected else GOOD)(request)

    async with asked(only_objects) as (provider, server):
        await asyncio.gather(*(provider.complete(asking()) for _ in range(20)))
        first = len(server.bodies)
        await asyncio.gather(*(provider.complete(asking()) for _ in range(20)))
    forms = [form(body) for body in server.bodies]
    # A call that learns of a rejection from another call does not try a third form.
    assert forms[:first].count("json_object") == 20
    assert set(forms[:first]) == {"json_schema", "json_object"}
    assert forms[first:] == ["json_object"] * 20


@real_time
async def test_a_rejected_schema_of_one_step_does_not_affect_other_steps() -> None:
    async with asked(NO_SCHEMA, GOOD) as (provider, server):
        await provider.complete(asking(step="quiz"))
        await provider.complete(asking(step="tutorial"))
        forms = [form(body) for body in server.bodies]
    assert forms == ["json_schema", "json_object", "json_schema"]


def test_a_server_that_ignores_the_schema_gets_it_in_the_next_prompt() -> None:
    ignoring = reply(completion(f"Certainly!\n```json\n{ANSWER}\n```"))
    server = ask(2, ignoring, GOOD)
    assert [form(body) for body in server.bodies] == ["json_schema", "json_schema"]
    assert [is_told(body) for body in server.bodies] == [False, True]


@real_time
async def test_an_answer_with_other_fields_counts_as_ignoring_the_schema() -> None:
    async with asked(reply(completion('{"answer": "yes"}')), GOOD) as (provider, server):
        await provider.complete(asking())
        await provider.complete(asking())
        told = [is_told(body) for body in server.bodies]
    assert told == [False, True]


def test_one_odd_answer_among_good_ones_does_not_change_the_prompt() -> None:
    server = ask(4, GOOD, GOOD, reply(completion(f"Well: {ANSWER}")), GOOD)
    assert not any(is_told(body) for body in server.bodies)


@real_time
async def test_a_request_for_plain_text_has_no_response_format() -> None:
    async with asked(reply(completion("yes"))) as (provider, server):
        await provider.complete(asking(None))
        body = server.bodies[0]
    assert "response_format" not in body


@real_time
async def test_a_schema_that_cannot_be_strict_is_sent_in_the_prompt() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    async with asked(GOOD) as (provider, server):
        await provider.complete(asking(schema))
        body = server.bodies[0]
    assert form(body) == "json_object"
    assert is_told(body)


def roles(body: dict[str, Any]) -> list[str]:
    return [message["role"] for message in body["messages"]]


def test_a_model_without_a_system_role_gets_its_text_as_the_users() -> None:
    refusal = fault(400, "The System role is not supported by this model")
    server = ask(2, refusal, GOOD)
    assert [roles(body) for body in server.bodies] == [["system", "user"], ["user"], ["user"]]
    assert "Be brief." in server.bodies[-1]["messages"][0]["content"]


@real_time
async def test_neighbours_of_one_role_are_joined() -> None:
    said = (Message("user", "one"), Message("user", "two"), Message("assistant", "three"))
    async with asked(GOOD) as (provider, server):
        await provider.complete(replace(asking(), messages=said))
    assert server.bodies[0]["messages"][0]["content"] == "one\n\ntwo"
    assert roles(server.bodies[0])[:2] == ["user", "assistant"]


def test_a_schema_without_additional_properties_is_sent_from_then_on() -> None:
    refusal = fault(400, 'Unknown name "additional_properties" at generation_config')
    server = ask(2, refusal, GOOD)
    assert [form(body) for body in server.bodies] == ["json_schema"] * 3
    assert "additionalProperties" not in json.dumps(server.bodies[-1])


@pytest.mark.parametrize(
    "words", ["json_schema is not a response_format type", 'Grammar error: ["oneOf"] unimplemented']
)
def test_a_format_answered_with_500_is_not_sent_again(words: str) -> None:
    server = ask(2, fault(500, words), GOOD)
    assert [form(body) for body in server.bodies] == ["json_schema", "json_object", "json_object"]


@pytest.mark.parametrize(
    ("words", "bound"),
    [
        ("This max_tokens is invalid: its valid range is [1, 40]", 40),
        ("max_tokens is too large: 77. This model supports at most 40 completion tokens", 40),
        ("max_tokens must be less than or equal to 40", 40),
    ],
)
def test_the_largest_bound_that_a_server_accepts_is_learned(words: str, bound: int) -> None:
    server = ask(2, fault(400, words), GOOD)
    assert [body["max_tokens"] for body in server.bodies] == [77, bound, bound]


@real_time
async def test_a_context_is_learned_and_the_bound_fits_it_from_then_on() -> None:
    words = "The maximum context length is 400 tokens, but this needs 1006 (6 in the messages)"
    async with asked(fault(400, words), GOOD) as (provider, server):
        for _ in range(2):
            await provider.complete(replace(asking(), max_tokens=1000))
    assert [body["max_tokens"] for body in server.bodies] == [1000, 361, 361]


@real_time
async def test_a_prompt_that_fills_the_context_is_not_sent_again() -> None:
    words = "the request exceeds the available context size (200 tokens)"
    long = replace(asking(), messages=(Message("user", "word " * 300),))
    async with asked(fault(400, words)) as (provider, server):
        with pytest.raises(RequestTooLong, match="200 tokens") as refused:
            await provider.complete(long)
        assert refused.value.sent
        with pytest.raises(RequestTooLong, match="200 tokens") as refused:
            await provider.complete(long)
        assert not refused.value.sent
    assert len(server.bodies) == 1


def test_a_temperature_that_a_model_refuses_is_left_out() -> None:
    refusal = fault(400, "unsupported value: 'temperature' only at 1, its default")
    server = ask(2, refusal, GOOD, temperature=0.2)
    assert ["temperature" in body for body in server.bodies] == [True, False, False]


def test_thinking_is_switched_off_if_a_server_needs_that() -> None:
    refusal = fault(400, "parameter.enable_thinking must be set to false for non-streaming calls")
    server = ask(2, refusal, GOOD)
    assert [body.get("enable_thinking") for body in server.bodies] == [None, False, False]
