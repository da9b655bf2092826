"""How the provider parses the answers of a server."""

import gzip
import json
import random
from dataclasses import replace

import pytest
from paceline.contracts.provider import Completion, CompletionRequest
from paceline.errors import PacelineError, Refused, Transient, UnusableAnswer
from paceline.testing.virtual_time import real_time
from paceline_adapters.openai.client import MAX_BODY, MAX_COMPRESSED

from tests.support.scripted_llm import ANSWER, Handler, asked, asking, completion, reply


@real_time
async def complete(*script: Handler, request: CompletionRequest | None = None) -> Completion:
    async with asked(*script) as (provider, _):
        return await provider.complete(request or asking())


def failure(*script: Handler) -> PacelineError:
    with pytest.raises(PacelineError) as caught:
        complete(*script)
    return caught.value


def test_an_answer_has_text_model_usage_request_id_and_rate_limits() -> None:
    headers = {
        "x-request-id": "req-7",
        "X-RateLimit-Remaining-Requests": "41",
        "x-ratelimit-reset-tokens": "6ms",
        "x-other": "1",
    }
    assert complete(reply(completion(), headers=headers)) == Completion(
        text=ANSWER,
        model="test-model-2026",
        prompt_tokens=11,
        completion_tokens=7,
        request_id="req-7",
        rate_limit_headers={
            "x-ratelimit-remaining-requests": "41",
            "x-ratelimit-reset-tokens": "6ms",
        },
    )


def test_an_answer_without_usage_model_and_id_is_still_an_answer() -> None:
    bare = {"choices": [{"message": {"content": ANSWER}, "finish_reason": "stop"}], "usage": None}
    assert complete(reply(bare)) == Completion(text=ANSWER, model="test-model")


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{ANSWER}\n```",
        f"```\n{ANSWER}\n```\nI hope this helps!",
        f"Sure, here is your {{quiz}}:\n\n{ANSWER}\n\nAnything else?",
        f'<think>They want {{"word": 1}}.</think>\n{ANSWER}',
        f"\ufeff  {ANSWER}\n",
    ],
)
def test_json_is_extracted_from_fences_thoughts_and_prose(text: str) -> None:
    assert complete(reply(completion(text))).text == ANSWER


def test_plain_text_is_not_changed() -> None:
    text = f"Look: {ANSWER} is JSON."
    assert complete(reply(completion(text)), request=asking(None)).text == text


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": ANSWER[:9]}, {"type": "text", "text": ANSWER[9:]}]
    assert complete(reply(completion(parts))).text == ANSWER


def test_half_a_surrogate_pair_is_replaced() -> None:
    raw = json.dumps(completion("half \\ud83d of it")).replace("\\\\ud83d", "\\ud83d")
    assert complete(reply(raw), request=asking(None)).text == "half ? of it"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (completion(None, refusal="I cannot help with that."), "refusal"),
        (completion("I should", finish_reason="content_filter"), "refusal"),
        (completion('{"word": "y', finish_reason="length"), "truncated"),
        (completion('{"word": "y', finish_reason=None), "truncated"),
        (completion(""), "empty"),
        (completion(" \n"), "empty"),
        (completion(None), "empty"),
        ({"id": "x", "choices": []}, "malformed"),
        ({"id": "x", "choices": None}, "malformed"),
        ({"id": "x", "choices": ["text"]}, "malformed"),
        ({"id": "x"}, "malformed"),
        (["not", "an", "object"], "malformed"),
    ],
)
def test_unusable_answers_say_why(body: object, kind: str) -> None:
    error = failure(reply(body))
    assert isinstance(error, UnusableAnswer)
    assert error.kind == kind


def test_a_truncated_answer_is_kept() -> None:
    error = failure(reply(completion('{"word": "y', finish_reason="length")))
    assert isinstance(error, UnusableAnswer)
    assert error.answer == '{"word": "y'


@pytest.mark.parametrize(
    "body", ["<html>Bad gateway</html>", "", '{"choices": [', b'{"a": "\xff"}']
)
def test_a_broken_body_is_retried(body: object) -> None:
    assert isinstance(failure(reply(body)), Transient)


def test_an_error_in_a_200_answer_is_an_error() -> None:
    assert isinstance(failure(reply({"error": {"message": "later", "code": 429}})), Refused)
    assert isinstance(failure(reply({"error": {"message": "later", "code": "502"}})), Transient)
    assert isinstance(failure(reply({"error": "out of order"})), Transient)


def test_an_answer_is_read_only_up_to_a_size_limit() -> None:
    sent = 0

    async def endless(request: object) -> object:
        from aiohttp import web

        nonlocal sent
        assert isinstance(request, web.Request)
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100 * 16):
            await response.write(b" " * 65_536)
            sent += 65_536
        return response

    error = failure(endless)  # type: ignore[arg-type]
    assert isinstance(error, UnusableAnswer)
    assert error.kind == "malformed"
    # Data in the buffers of the sockets was sent but not read.
    assert sent < MAX_BODY + 16 * 2**20


def test_a_compressed_answer_is_read_only_up_to_the_size_limit() -> None:
    headers = {"content-encoding": "gzip"}
    packed = gzip.compress(json.dumps(completion()).encode())
    assert complete(reply(packed, headers=headers)).text == ANSWER
    # What does not shrink is enough to pass the bound; a bomb would have grown from there.
    noise = gzip.compress(random.Random(1).randbytes(MAX_COMPRESSED + 1000))
    assert isinstance(failure(reply(noise, headers=headers)), UnusableAnswer)


def test_a_long_error_text_is_shortened() -> None:
    error = failure(reply("x" * 1_000_000, status=400))
    assert len(str(error)) < 1000


@real_time
async def test_a_request_has_only_the_fields_that_servers_accept() -> None:
    async with asked(reply(completion()), temperature=0.5, extra={"seed": 3}) as (
        provider,
        server,
    ):
        await provider.complete(asking())
    (body,) = server.bodies
    form = body.pop("response_format")
    assert body == {
        "model": "test-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Say yes."},
        ],
        "max_tokens": 77,
        "temperature": 0.5,
        "seed": 3,
    }
    assert form["type"] == "json_schema"
    assert form["json_schema"]["name"] == "quiz"
    assert form["json_schema"]["strict"] is True


@real_time
async def test_any_step_name_is_converted_to_one_that_servers_accept() -> None:
    async with asked(reply(completion())) as (provider, server):
        await provider.complete(replace(asking(), step="mind map/ü" * 20))
    name = server.bodies[0]["response_format"]["json_schema"]["name"]
    assert name.isascii()
    assert len(name) == 64
