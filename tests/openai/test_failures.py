"""The error that each failure of a server becomes."""

import asyncio
import json
import socket
from dataclasses import replace

import pytest
from aiohttp import web
from paceline.contracts.provider import Message
from paceline.errors import (
    AccountExhausted,
    Fatal,
    PacelineError,
    ProviderError,
    ProviderUnusable,
    Refused,
    RequestTooLong,
    Transient,
    Unreachable,
    UnusableAnswer,
)
from paceline.testing.virtual_time import real_time
from paceline_adapters.openai.error_words import MAX_RETRY_AFTER, retry_after
from paceline_adapters.openai.failures import ROWS, Row

from tests.support.scripted_llm import KEY, Handler, Scripted, asked, asking, fault, reply

pytestmark = pytest.mark.usefixtures("either_way")


@real_time
async def failure(*script: Handler, **changes: object) -> ProviderError:
    async with asked(*script, **changes) as (provider, _):
        with pytest.raises(ProviderError) as caught:
            await provider.complete(asking())
    return caught.value


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (fault(429, "slow down"), Refused),
        (fault(529, "overloaded"), Refused),
        (fault(503, "The engine is currently overloaded"), Refused),
        (fault(503, "down", headers={"retry-after": "3"}), Refused),
        (fault(503, "no upstream"), Unreachable),
        (fault(429, "Request too large for gpt-4o on tokens per min"), Fatal),
        (fault(429, "You exceeded your quota", code="insufficient_quota"), AccountExhausted),
        (fault(429, "You exceeded your quota", type="insufficient_quota"), AccountExhausted),
        (fault(402, "Insufficient Balance"), AccountExhausted),
        (fault(401, "Incorrect API key"), ProviderUnusable),
        (fault(403, "Country not supported"), ProviderUnusable),
        (fault(400, "API key not valid. Please pass a valid API key."), ProviderUnusable),
        (fault(404, "The model does not exist", code="model_not_found"), ProviderUnusable),
        (fault(400, "model `tset` not found"), ProviderUnusable),
        (reply("404 page not found", 404), ProviderUnusable),
        (reply("", 405), ProviderUnusable),
        (reply("", 301, {"location": "https://elsewhere.example/v1"}), ProviderUnusable),
        (fault(408), Transient),
        (fault(409), Transient),
        (fault(500), Transient),
        (fault(502), Unreachable),
        (fault(504), Transient),
        (fault(521), Unreachable),
        (fault(500, "x", headers={"retry-after": "3"}), Refused),
        (fault(403, "no"), Fatal),
        (reply("<title>Blocked</title>", 403), Fatal),
        (fault(403, "flagged by moderation"), Fatal),
        (fault(403, "RPM limit exceeded"), Refused),
        (fault(400, "ThrottlingException: Too many tokens"), Refused),
        (fault(400, "The credit balance is too low"), AccountExhausted),
        (fault(500, "insufficient balance (1008)"), AccountExhausted),
        (fault(429, "free-models-per-day limit"), AccountExhausted),
        (fault(429, "requests per day (RPD) limit: try again in 7m12s"), Refused),
        (fault(429, "see plan and billing"), AccountExhausted),
        (fault(429, "see plan and billing, retry in 11.9s"), Refused),
        (fault(429, "slow", headers={"retry-after": "57071"}), AccountExhausted),
        (reply([{"error": {"message": "no credits left", "code": 400}}], 400), AccountExhausted),
        (reply({"base_resp": {"status_msg": "insufficient balance"}}), AccountExhausted),
        (reply({"error_msg": "The daily limit is reached", "error_code": 17}), AccountExhausted),
        (reply({"error": "Unexpected endpoint: POST /x"}), ProviderUnusable),
        (reply({"object": "error", "message": "HIGH TRAFFIC"}), Transient),
        (reply("<html>Gateway Timeout</html>", 504), Transient),
        (fault(400, "Invalid 'temperature'"), Fatal),
        (fault(413, "too large"), RequestTooLong),
        (fault(400, "This model's maximum context length is 128000 tokens"), RequestTooLong),
        (fault(400, "too long", code="context_length_exceeded"), RequestTooLong),
        (reply({"detail": [{"loc": ["body", "messages"], "msg": "bad"}]}, 422), Fatal),
    ],
)
def test_each_http_status_becomes_the_matching_error(
    answer: Handler, kind: type[ProviderError]
) -> None:
    assert type(failure(answer)) is kind


def test_an_unknown_model_is_named() -> None:
    error = failure(fault(404, "no", code="model_not_found"), model="gpt-nope")
    assert "'gpt-nope'" in str(error)


def test_a_path_without_chat_completions_points_at_the_setting() -> None:
    assert "provider.base_url" in str(failure(reply("not found", 404)))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": {"message": "from error.message"}}, "from error.message"),
        ({"error": "from error"}, "from error"),
        ({"message": "from message"}, "from message"),
        ({"detail": "from detail"}, "from detail"),
        ("from text", "from text"),
    ],
)
def test_the_servers_message_is_found_in_any_error_format(body: object, text: str) -> None:
    assert str(failure(reply(body, 400))).endswith(f": {text}")


def test_an_answer_rejected_by_the_server_itself_can_be_repaired() -> None:
    answer = fault(
        400, "Failed to generate JSON", code="json_validate_failed", failed_generation='{"wo'
    )
    # Such a server mentions JSON, never the format of the request.
    error = failure(answer)
    assert isinstance(error, UnusableAnswer)
    assert error.answer == '{"wo'


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_no_error_shows_the_key_even_if_the_server_repeats_it(status: int) -> None:
    error = failure(fault(status, f"bad key {KEY} and Bearer {KEY} and sk-proj-ab***wxyz"))
    assert KEY not in str(error)
    assert "wxyz" not in str(error)
    assert "bad key ***" in str(error)
    assert KEY not in repr(error.__cause__) + repr(error.__context__) or error.__suppress_context__


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "1e300"}, MAX_RETRY_AFTER),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "12s"}, 12.0),
        ({"retry-after": "1m30s"}, 90.0),
        ({"retry-after": "250ms"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        (
            {
                "date": "Tue, 24 Nov 2026 10:00:00 GMT",
                "retry-after": "Tue, 24 Nov 2026 10:01:30 GMT",
            },
            90.0,
        ),
        (
            {"date": "nonsense", "retry-after": "Tue, 24 Nov 2026 10:01:30 GMT"},
            None,
        ),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, MAX_RETRY_AFTER),
    ],
)
def test_retry_after_is_read_in_every_form_and_bounded(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers) == seconds


def test_a_refusal_carries_the_servers_retry_after() -> None:
    error = failure(fault(429, headers={"Retry-After-Ms": "1500"}))
    assert isinstance(error, Refused)
    assert error.retry_after == 1.5
    silent = failure(fault(429))
    assert isinstance(silent, Refused)
    assert silent.retry_after is None


@real_time
async def test_a_closed_port_is_named_with_its_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"

        provider = Scripted([], url).provider()
        with pytest.raises(Unreachable) as caught:
            await provider.complete(asking())
        await provider.close()
    assert f"{url} cannot be reached" in str(caught.value)


def test_a_silent_server_times_out() -> None:
    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    error = failure(silent, timeout=0.2)
    assert type(error) is Transient
    assert "within 0.2 s" in str(error)


def test_a_server_that_stalls_times_out() -> None:
    async def dripping(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        tick = asyncio.get_running_loop().create_future
        while True:
            await response.write(b" ")
            asyncio.get_running_loop().call_later(0.02, (pause := tick()).set_result, None)
            await pause

    assert "within 0.3 s" in str(failure(dripping, timeout=0.3))


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"id"\r\n',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
)
@real_time
async def test_a_broken_connection_is_retried(raw: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        provider = Scripted([], f"http://127.0.0.1:{port}/v1").provider()
        with pytest.raises(PacelineError) as caught:
            await provider.complete(asking())
        await provider.close()
    assert type(caught.value) is Transient
    assert "127.0.0.1" in str(caught.value)


def test_a_refusal_carries_the_rate_limit_headers() -> None:
    headers = {"x-ratelimit-limit-requests": "5", "x-other": "1", "retry-after": "3"}
    refused = failure(fault(429, "slow down", headers=headers))
    assert isinstance(refused, Refused)
    assert refused.rate_limit_headers == {"x-ratelimit-limit-requests": "5", "retry-after": "3"}


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def test_a_connection_that_is_reset_before_an_answer_is_an_outage() -> None:
    assert type(failure(reset)) is Unreachable


def test_a_redirect_quotes_where_it_leads() -> None:
    moved = reply("", 308, {"location": "https://api.example.org/v1/chat/completions"})
    assert "set provider.base_url to https://api.example.org/v1" in str(failure(moved))


@pytest.mark.parametrize(
    "words", ["The context length", "insufficient_quota", "response_format", "rate limit"]
)
@real_time
async def test_words_of_the_prompt_that_an_error_repeats_decide_nothing(words: str) -> None:
    request = replace(asking(), messages=(Message("user", f"Concept: {words} explained"),))
    detail = [{"loc": ["body"], "msg": "bad", "input": request.messages[0].content}]
    said = {"error": {"message": f"rejected: {words} explained"}, "detail": detail}
    async with asked(reply(said, 422)) as (provider, server):
        with pytest.raises(Fatal) as caught:
            await provider.complete(request)
    assert type(caught.value) is Fatal
    assert len(server.bodies) == 1


def test_the_reason_that_a_gateway_wraps_is_quoted() -> None:
    raw = json.dumps({"error": {"message": "at most 2000 characters"}})
    error = failure(fault(400, "The provider returned an error", metadata={"raw": raw}))
    assert str(error).endswith("The provider returned an error: at most 2000 characters")


def test_an_exhausted_account_says_when_it_reopens() -> None:
    error = failure(fault(429, "slow", headers={"retry-after": "57071"}))
    assert isinstance(error, AccountExhausted)
    assert error.reopens_in == 57071.0
    assert "15 h 51 min" in str(error)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.when[:40])
def test_every_row_of_the_table_says_when_it_applies(row: Row) -> None:
    assert row.when
    text = row.text.format(said="S", model="m", location="l", base_url="b", reopens="")
    assert "{" not in text
