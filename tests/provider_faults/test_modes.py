"""One server per way to misbehave: how the run ends, what it costs, and what the reason says."""

import asyncio
import itertools
import json
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from paceline.testing.virtual_time import real_time

from tests.support.misbehaving_llm import Ask, Handle, a_roadmap, run_against

ANSWERS: dict[str, dict[str, object]] = {
    "tutorial": {
        "title": "MARK title",
        "summary": "MARK summary.",
        "sections": [{"title": "Intro", "content": "MARK text.", "kind": "introduction"}],
        "exercises": ["Do this.", "Do that."],
        "minutes": 30,
    },
    "resources": {
        "resources": [
            {"title": "MARK", "url": "https://a.example/", "type": "book", "why": "MARK text."},
            {"title": "Two", "url": "https://b.example/", "type": "article", "why": "Good."},
        ]
    },
    "quiz": {
        "questions": [
            {
                "question": "MARK?",
                "options": ["a", "b", "c"],
                "answer": [1],
                "explanation": "MARK text.",
                "difficulty": "easy",
            }
        ]
    },
}


def text(ask: Ask, mark: str = "FINAL") -> str:
    """A valid answer to a request."""
    return json.dumps(ANSWERS[ask.step]).replace("MARK", mark)


def completion(content: object, finish: object = "stop", **message: object) -> dict[str, object]:
    """The body of an answer without its usage."""
    choice = {"message": {"content": content, **message}, "finish_reason": finish}
    return {"id": "1", "model": "fake", "choices": [choice]}


def billed(ask: Ask, body: dict[str, object], tokens: int = 500) -> web.Response:
    """Answer, report the usage, and note what a provider would charge."""
    ask.counts.billed += 1
    ask.counts.billed_tokens += 1000 + tokens
    usage = {"prompt_tokens": 1000, "completion_tokens": tokens}
    return web.json_response({"usage": usage, **body})


def good(ask: Ask) -> web.Response:
    return billed(ask, completion(text(ask)))


def says(shape: str, **message: object) -> Handle:
    """Always answers in a shape: FINAL and DRAFT stand for an answer."""

    async def handle(ask: Ask) -> web.StreamResponse:
        draft = text(ask, "DRAFT")
        return billed(
            ask, completion(shape.replace("FINAL", text(ask)).replace("DRAFT", draft), **message)
        )

    return handle


def ends(finish: object) -> Handle:
    """Always answers well, with this finish reason."""

    async def handle(ask: Ask) -> web.StreamResponse:
        return billed(ask, completion(text(ask), finish))

    return handle


def changed(*pairs: tuple[str, str]) -> Handle:
    """Always answers with something replaced."""

    async def handle(ask: Ask) -> web.StreamResponse:
        answer = text(ask)
        for old, new in pairs:
            answer = answer.replace(old, new)
        return billed(ask, completion(answer))

    return handle


def reply(status: int, body: object, **headers: str) -> web.Response:
    if isinstance(body, str):
        return web.Response(status=status, text=body, headers=headers)
    return web.json_response(body, status=status, headers=headers)


def error(status: int, message: str, **fields: object) -> Handle:
    """Always answers an error as OpenAI words it."""
    return always(status, {"error": {"message": message, **fields}})


def always(status: int, body: object, **headers: str) -> Handle:
    async def handle(_: Ask) -> web.StreamResponse:
        return reply(status, body, **headers)

    return handle


def refusing(when: str, status: int, message: str, **fields: object) -> Handle:
    """Refuses requests in a form: ``when`` is an expression on the request ``ask``."""
    test = compile(when, "when", "eval")

    async def handle(ask: Ask) -> web.StreamResponse:
        if eval(test, {"ask": ask, "json": json}):
            return reply(status, {"error": {"message": message, **fields}})
        return good(ask)

    return handle


def during(seconds: float, handle: Handle) -> Handle:
    """Fails for a time, then works."""

    async def both(ask: Ask) -> web.StreamResponse:
        return await handle(ask) if ask.seconds < seconds else good(ask)

    return both


async def truncated_once(ask: Ask) -> web.StreamResponse:
    if ask.nth == 1:
        return billed(ask, completion(text(ask)[:60], "length"), ask.max)
    return good(ask)


async def reasoning_budget(ask: Ask) -> web.StreamResponse:
    if ask.max >= 20_000:
        return good(ask)
    return billed(ask, completion(None, "length", reasoning_content="Hm. " * 50), ask.max)


async def whitespace(ask: Ask) -> web.StreamResponse:
    return billed(ask, completion("{" + "\n  " * 2000, "length"), ask.max)


async def finish_error(ask: Ask) -> web.StreamResponse:
    if ask.nth <= 2:
        return web.json_response(completion('{"title": "half', "error"))
    return good(ask)


async def empty_then_alternate(ask: Ask) -> web.StreamResponse:
    roles = [one["role"] for one in ask.messages]
    if any(one == other for one, other in itertools.pairwise(roles)):
        return reply(400, {"error": {"message": "roles must alternate"}})
    return billed(ask, completion("")) if ask.nth == 1 else good(ask)


async def choices_empty_once(ask: Ask) -> web.StreamResponse:
    return web.json_response({"choices": []}) if ask.nth == 1 else good(ask)


async def stream(ask: Ask) -> web.StreamResponse:
    """Streams, whatever the request says."""
    ask.counts.billed += 1
    chunks: list[dict[str, object]] = [
        {"choices": [{"delta": {"content": text(ask)}}]},
        {
            "choices": [{"delta": {}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 500},
        },
    ]
    ask.counts.billed_tokens += 1500
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return web.Response(text=events + "data: [DONE]\n\n", content_type="text/event-stream")


async def in_reasoning(ask: Ask) -> web.StreamResponse:
    return billed(ask, completion(None, reasoning_content=text(ask)))


async def other_encoding(ask: Ask) -> web.StreamResponse:
    ask.counts.billed += 1
    return web.Response(body=b"\x8b\x02\x80", headers={"content-encoding": "br"})


async def no_usage(ask: Ask) -> web.StreamResponse:
    ask.counts.billed += 1
    return web.json_response(completion(text(ask)))


async def context_4096(ask: Ask) -> web.StreamResponse:
    prompt = sum(len(one["content"]) for one in ask.messages) // 4
    if prompt + ask.max > 4096:
        return reply(
            400,
            {
                "message": f"The maximum context length is 4096 tokens, but {prompt + ask.max} are "
                f"needed ({prompt} in the messages, {ask.max} in the completion)."
            },
        )
    return good(ask)


async def echo_422(ask: Ask) -> web.StreamResponse:
    if ask.concept == "c0":
        detail = {"loc": ["body"], "msg": "The string is too odd", "input": ask.body}
        return reply(422, {"detail": [detail]})
    return good(ask)


async def slow(ask: Ask) -> web.StreamResponse:
    ask.counts.billed += 1
    await asyncio.sleep(2)
    return good(ask)


async def one_in_flight_403(ask: Ask) -> web.StreamResponse:
    if ask.concept == "c3" and ask.step == "resources":
        return reply(403, {"error": {"message": "The input was flagged"}})
    await asyncio.sleep(0.1)
    return good(ask)


async def exhausted_in_flight(ask: Ask) -> web.StreamResponse:
    """The account is used up while other calls are in flight, which are answered."""
    if ask.count > 5:
        return reply(402, {"error": {"message": "Payment required"}})
    await asyncio.sleep(0.3)
    return good(ask)


async def reset(ask: Ask) -> web.StreamResponse:
    if ask.seconds < 0.6:
        assert ask.transport is not None
        ask.transport.abort()
        return web.Response()
    return good(ask)


@dataclass(frozen=True)
class Expected:
    """What must come of a mode.

    Attributes:
        handle: the server.
        status: how the run ends.
        requests: at most.
        billed: at most.
        words: what the reasons contain.
        concepts: concepts of the roadmap.
        failed: concepts that failed; the others of a failed run are pending.
        strategy: the strategy.
        provider: more settings of the provider.
    """

    handle: Handle
    status: str = "completed"
    requests: int = 9
    billed: int = 9
    words: str = ""
    concepts: int = 3
    failed: int = 0
    strategy: str = "per-roadmap"
    provider: dict[str, object] = field(default_factory=dict[str, object])


def learned(handle: Handle, *, most: int, **provider: object) -> Expected:
    """A form that is refused, learned, and not paid for."""
    return Expected(handle, requests=18 + most, billed=18, concepts=6, provider=provider)


def ended(handle: Handle, words: str, **more: object) -> Expected:
    """The run ends once, with one reason and no dead letter; five calls were in flight."""
    given = {"concepts": 12, "requests": 5, "billed": 0, **more}
    return Expected(handle, "failed", words=words, **given)  # type: ignore[arg-type]


def one_fails(handle: Handle, words: str) -> Expected:
    return Expected(handle, "partial", requests=12, billed=9, words=words, concepts=4, failed=1)


def outage(handle: Handle) -> Expected:
    """An outage of less than the patience: every concept is completed, nothing is paid twice."""
    return Expected(during(0.6, handle), requests=90)


_THOUGHTS = "A draft:\nDRAFT\nThat is too short.\n</think>\n\nFINAL"
_BAD_URL = "provider.base_url"
_CREDIT = "add credit"
_DAY = "the quota is used up"

MODES: dict[str, Expected] = {
    # answers
    "control": Expected(says("FINAL")),
    "think_tail": Expected(says(_THOUGHTS)),
    "think_sketch": Expected(says('They want {"title": "...", "sections": []}.\n</think>\nFINAL')),
    "thinking_tag": Expected(says("<thinking>DRAFT no.</thinking>FINAL")),
    "example_first": Expected(says("The format\n```json\nDRAFT\n```\n```json\nFINAL\n```")),
    "finish_null": Expected(ends(None)),
    "finish_empty": Expected(ends("")),
    "finish_end_turn": Expected(ends("end_turn")),
    "finish_error": Expected(finish_error, requests=27),
    "finish_error_always": Expected(
        ends("error"), "failed", requests=12, billed=12, words="finish reason 'error'", failed=3
    ),
    "empty_then_alternate": Expected(empty_then_alternate, requests=18, billed=18),
    "choices_empty_once": Expected(choices_empty_once, requests=18),
    "raw_newlines": Expected(changed((" text.", "\ntext."))),
    "bad_escapes": Expected(changed((" text.", r" \(x\) text."))),
    "trailing_comma": Expected(changed(("}]}", "},]}"), ("30}", "30,}"))),
    "enum_case": Expected(changed(('"easy"', '"Easy"'), ('"book"', '"Book"'))),
    "quiz_strings": Expected(changed(("[1]", '["1"]'))),
    "quiz_letters": Expected(changed(("[1]", '["B"]'))),
    "url_www": Expected(changed(("https://b.example/", "www.b.example/"))),
    "bad_url": Expected(changed(("https://b.example/", "the library"))),
    "in_reasoning": Expected(in_reasoning),
    "stream": Expected(stream),
    "usage_missing": Expected(no_usage),
    "truncated_once": Expected(truncated_once, requests=18, billed=18),
    "reasoning_budget": Expected(reasoning_budget, requests=12, billed=12),
    "whitespace": Expected(
        whitespace, "failed", requests=10, billed=10, words="blanks without end", concepts=5
    ),
    "repeats_itself": Expected(
        says(
            json.dumps(
                {
                    "title": "c0",
                    "summary": "c0",
                    "sections": [
                        {"title": "c0", "content": f"Text {n}", "kind": "example"}
                        for n in range(11)
                    ],
                    "exercises": ["c0"],
                    "minutes": 3,
                }
            )
        ),
        "failed",
        requests=6,
        billed=6,
        words="occurs 11 times",
        failed=3,
    ),
    # forms that a server refuses
    "no_system_role": learned(
        refusing("ask.messages[0]['role'] == 'system'", 400, "The System role is not supported"),
        most=5,
    ),
    "additional_properties": learned(
        refusing(
            "'additionalProperties' in json.dumps(ask.body)",
            400,
            'Unknown name "additional_properties" at response_schema',
        ),
        most=15,
    ),
    "schema_500": learned(
        refusing("ask.format == 'json_schema'", 500, "json_schema is no response_format type"),
        most=15,
    ),
    "grammar_500": learned(
        refusing("'minItems' in json.dumps(ask.body)", 500, 'Grammar: ["minItems"] unimplemented'),
        most=15,
    ),
    "temperature": learned(
        refusing("'temperature' in ask.body", 400, "'temperature' supports only its default"),
        most=5,
        temperature=0.2,
    ),
    "context_4096": learned(context_4096, most=5),
    "max_tokens_range": learned(
        refusing("ask.max > 4096", 400, "This max_tokens is invalid: the range is [1, 4096]"),
        most=5,
    ),
    "thinking_stream_only": learned(
        refusing(
            "ask.body.get('enable_thinking') is not False",
            400,
            "parameter.enable_thinking must be set to false",
        ),
        most=5,
    ),
    "json_validate_failed": Expected(
        refusing("ask.count == 3", 400, "no match", code="json_validate_failed"), requests=10
    ),
    # one request is refused
    "echo_422": one_fails(echo_422, "body: The string is too odd"),
    "moderation_403": one_fails(
        refusing("ask.concept == 'c0'", 403, "flagged by moderation", code=403), "moderation"
    ),
    "waf_403": one_fails(
        refusing("ask.concept == 'c0'", 403, "no", code=403), "denies this request"
    ),
    "one_403_in_flight": Expected(
        one_in_flight_403, "partial", 29, 28, "flagged", 10, failed=1, strategy="unbounded"
    ),
    "rpm_403": Expected(refusing("3 <= ask.count <= 5", 403, "RPM limit exceeded"), requests=12),
    "blip_401": Expected(refusing("ask.count == 6", 401, "User not found"), requests=10),
    "throttled_400": Expected(
        refusing("ask.count <= 3", 400, "ThrottlingException: Too many tokens"), requests=12
    ),
    # nothing can succeed
    "wrong_key": ended(error(401, "Incorrect API key"), "check provider.api_key"),
    "denied_403": ended(error(403, "no"), "the first 3 concepts failed alike"),
    "same_400": ended(error(400, "Invalid value"), "the first 3 concepts failed alike"),
    "no_model": ended(error(404, "x", code="model_not_found"), "check provider.model"),
    "html_200": ended(always(200, "<title>API console</title>"), _BAD_URL),
    "lmstudio_200": ended(always(200, {"error": "Unexpected endpoint: POST /x"}), _BAD_URL),
    "redirect_308": ended(
        always(308, "", location="https://a.example/v1/chat/completions"), "https://a.example/v1"
    ),
    "other_encoding": ended(other_encoding, "content-encoding 'br'", billed=5),
    # the account can pay for nothing more
    "billing_429": ended(error(429, "x", code="billing_not_active"), _CREDIT),
    "billing_429_global": ended(
        error(429, "x", code="billing_not_active"), _CREDIT, strategy="global", requests=12
    ),
    "budget_400": ended(error(400, "x", type="budget_exceeded"), _CREDIT),
    "budget_429": ended(error(429, "Budget has been exceeded"), _CREDIT),
    "credit_400": ended(error(400, "the credit balance is too low"), _CREDIT),
    "arrearage_400": ended(error(400, "x", code="Arrearage"), _CREDIT),
    "balance_500": ended(error(500, "insufficient balance (1008)"), _CREDIT),
    "base_resp": ended(
        always(200, {"choices": None, "base_resp": {"status_msg": "insufficient balance"}}),
        _CREDIT,
    ),
    "suspended_429": ended(error(429, "the account is suspended: recharge it"), _CREDIT),
    "error_msg_200": ended(
        always(200, {"error_code": 17, "error_msg": "The daily request limit is reached"}), _DAY
    ),
    "gemini_day": ended(
        always(
            429,
            [
                {
                    "error": {
                        "message": "quota exceeded",
                        "details": [{"violations": [{"quotaId": "RequestsPerDay"}]}],
                    }
                }
            ],
        ),
        _DAY,
    ),
    "free_models_per_day": ended(error(429, "Rate limit exceeded: free-models-per-day"), _DAY),
    "retry_after_hours": ended(
        always(429, {"error": {"message": "slow"}}, **{"retry-after": "57071"}), "15 h 51 min"
    ),
    "exhausted_in_flight": Expected(
        exhausted_in_flight, "failed", requests=10, billed=5, words=_CREDIT, concepts=12
    ),
    # outages and refusals
    "bad_gateway": outage(always(502, "<title>502 Bad Gateway</title>")),
    "cloudflare_521": outage(always(521, "<title>521: Web server is down</title>")),
    "unavailable_503": outage(always(503, "upstream connect error")),
    "retry_after_500": outage(always(500, "restarting", **{"retry-after": "0.2"})),
    "retry_delay_body": outage(
        always(429, {"error": {"message": "quota", "details": [{"retryDelay": "0.3s"}]}})
    ),
    "retry_after_unit": outage(always(429, "slow down", **{"retry-after": "300ms"})),
    "error_200_words": outage(always(200, {"error": {"code": "rate_limit_exceeded"}})),
    "reset": Expected(reset, requests=90),
    "always_502": ended(always(502, "down"), "no call arrived for", requests=300, concepts=3),
    "always_429": ended(error(429, "slow down"), "all calls were", requests=300, concepts=3),
    "always_429_global": ended(
        error(429, "slow down"),
        "all calls were",
        requests=300,
        concepts=3,
        strategy="global",
    ),
    "metadata_raw": Expected(
        error(400, "x", metadata={"raw": '{"message": "at most 2000 characters"}'}),
        "failed",
        words="at most 2000 characters",
        concepts=2,
        failed=2,
        requests=2,
    ),
    "object_error_200": Expected(
        always(200, {"object": "error", "message": "HIGH TRAFFIC"}),
        "failed",
        words="HIGH TRAFFIC",
        requests=12,
        failed=3,
    ),
    "slow": Expected(
        slow,
        "failed",
        requests=8,
        billed=8,
        words="provider.timeout",
        concepts=2,
        failed=2,
        provider={"timeout": 0.2},
    ),
}


@pytest.mark.parametrize("mode", MODES)
@real_time
async def test_a_mode_ends_as_the_table_of_failures_says(mode: str) -> None:
    expected = MODES[mode]
    result = await run_against(
        expected.handle,
        a_roadmap(expected.concepts),
        strategy=expected.strategy,
        **expected.provider,
    )
    failed = sum(one.status == "failed" for one in result.concepts)
    assert (result.status, failed) == (expected.status, expected.failed), result.why
    assert result.counts.requests <= expected.requests
    assert result.counts.billed <= expected.billed
    assert expected.words in result.why
    assert not any("DRAFT" in one for one in result.artifacts)
    if expected.status == "completed":
        assert len(result.artifacts) == 3 * expected.concepts
        assert result.tokens == result.counts.billed_tokens or mode == "usage_missing"
    if mode == "exhausted_in_flight":
        assert len(result.artifacts) == result.counts.billed, "what was in flight is saved"
