"""How the provider parses the answers of a server."""

import gzip
import json
import random
from dataclasses import replace

import pytest
from paceline.contracts.provider import Completion, CompletionRequest
from paceline.errors import (
    PacelineError,
    ProviderUnusable,
    Refused,
    Transient,
    UnusableAnswer,
)
from paceline.testing.virtual_time import real_time
from paceline_adapters.openai.client import MAX_BODY, MAX_COMPRESSED

from tests.support.scripted_llm import ANSWER, Handler, asked, asking, completion, reply

pytestmark = pytest.mark.usefixtures("either_way")


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
    made = complete(reply(bare))
    assert (made.text, made.model) == (ANSWER, "test-model")


def test_tokens_that_a_server_does_not_report_are_estimated_and_marked() -> None:
    bare = completion()
    del bare["usage"]
    made = complete(reply(bare))
    assert (made.prompt_tokens, made.completion_tokens) == (4, len(ANSWER) // 4)
    assert made.estimated
    assert not complete(reply(completion())).estimated


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, (10, 5)),
        ({"promptTokens": 10, "completionTokens": 5}, (10, 5)),
        ({"prompt_token_count": 10, "candidates_token_count": 5}, (10, 5)),
        ({"prompt_tokens": 10, "total_tokens": 15}, (10, 5)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 95}, (10, 85)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 0}, (10, 5)),
    ],
)
def test_usage_is_read_under_other_names_and_thoughts_are_counted(
    usage: dict[str, int], tokens: tuple[int, int]
) -> None:
    made = complete(reply(completion() | {"usage": usage}))
    assert (made.prompt_tokens, made.completion_tokens, made.estimated) == (*tokens, False)


def test_an_answer_that_cannot_be_used_says_what_it_cost() -> None:
    error = failure(reply(completion("", finish_reason="length")))
    assert isinstance(error, UnusableAnswer)
    assert (error.prompt_tokens, error.completion_tokens, error.estimated) == (11, 7, False)


def test_the_text_is_what_the_model_wrote() -> None:
    text = f"<think>They want JSON.</think>\n```json\n{ANSWER}\n```"
    assert complete(reply(completion(text))).text == text


def test_content_that_is_an_object_or_the_argument_of_a_tool_call_is_the_answer() -> None:
    assert json.loads(complete(reply(completion(json.loads(ANSWER)))).text) == json.loads(ANSWER)
    call = {"id": "1", "type": "function", "function": {"name": "quiz", "arguments": ANSWER}}
    body = completion(None, tool_calls=[call], finish_reason="tool_calls")
    assert complete(reply(body)).text == ANSWER


def test_reasoning_is_the_answer_only_if_it_is_nothing_but_json() -> None:
    assert complete(reply(completion(None, reasoning_content=ANSWER))).text == ANSWER
    draft = completion(None, reasoning_content=f"A draft: {ANSWER} is too short.")
    assert isinstance(failure(reply(draft)), UnusableAnswer)


def test_a_stream_that_nothing_asked_for_is_joined() -> None:
    chunks = [
        {"id": "1", "choices": [{"delta": {"content": ANSWER[:9]}, "finish_reason": None}]},
        {"id": "1", "choices": [{"delta": {"content": ANSWER[9:]}, "finish_reason": None}]},
        {"id": "1", "choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {}},
    ]
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    assert complete(reply(f": ping\n\n{events}data: [DONE]\n\n")).text == ANSWER
    assert complete(reply(f"{json.dumps(completion())}\n\ndata: [DONE]\n\n")).text == ANSWER
    assert complete(reply("\n   \n" * 20 + json.dumps(completion()))).text == ANSWER


@pytest.mark.parametrize("reason", ["stop", "STOP", "end_turn", "eos", None, "", "novel"])
def test_whole_json_is_an_answer_if_no_finish_reason_speaks_against_it(reason: str | None) -> None:
    assert complete(reply(completion(finish_reason=reason))).text == ANSWER


@pytest.mark.parametrize("reason", ["error", "network_error", "insufficient_system_resource"])
def test_finish_reasons_of_failures_are_tried_again(reason: str) -> None:
    assert type(failure(reply(completion(finish_reason=reason)))) is Transient


def test_an_error_beside_the_choice_is_an_error_not_an_answer() -> None:
    body = completion('{"word": "half', finish_reason="error")
    body["choices"][0]["error"] = {"code": 502, "message": "upstream"}  # type: ignore[index]
    assert type(failure(reply(body))) is Transient


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
        (completion("I should", finish_reason="SAFETY"), "refusal"),
        (completion('{"word": "y', finish_reason="MAX_TOKENS"), "truncated"),
        (completion('{"word": "y', finish_reason="novel"), "truncated"),
        (completion('{"word": "y', finish_reason="length"), "truncated"),
        (completion('{"word": "y', finish_reason=None), "truncated"),
        (completion(""), "empty"),
        (completion(" \n"), "empty"),
        (completion(None), "empty"),
        ({"id": "x", "choices": []}, "unreadable"),
        ({"id": "x", "choices": None}, "unreadable"),
        ({"id": "x", "choices": ["text"]}, "unreadable"),
        ({"id": "x"}, "unreadable"),
        (["not", "an", "object"], "unreadable"),
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
    ("written", "reason"),
    [
        (77, "it reached the longest answer allowed (77 tokens)"),
        (20, "the context was full after 20 tokens"),
    ],
)
def test_a_truncated_answer_says_which_bound_it_met(written: int, reason: str) -> None:
    body = completion('{"word": "y', finish_reason="length")
    body["usage"] = {"prompt_tokens": 11, "completion_tokens": written}
    assert reason in str(failure(reply(body)))


@pytest.mark.parametrize("body", ["<html><title>502 Bad Gateway</title></html>", "", " \n"])
def test_a_body_without_an_answer_is_worth_another_attempt(body: object) -> None:
    assert type(failure(reply(body))) is Transient


@pytest.mark.parametrize("body", ['{"choices": [', b'{"a": "\xff"}'])
def test_an_answer_that_arrived_and_cannot_be_read_is_asked_for_once_more_at_most(
    body: object,
) -> None:
    error = failure(reply(body))
    assert isinstance(error, UnusableAnswer)
    assert error.kind == "unreadable"
    assert error.estimated, "it was paid"


def test_a_web_page_in_place_of_an_answer_points_at_the_setting() -> None:
    error = failure(reply("<!doctype html><title>API console</title>"))
    assert isinstance(error, ProviderUnusable)
    assert "provider.base_url" in str(error)
    assert "'API console'" in str(error)


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
        "stream": False,
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
