"""Limits: the arithmetic without a clock, and what a client sees."""

import asyncio

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline.testing.virtual_time import real_time
from paceline_adapters.simulator.quota import Quota, duration

from tests.support.eventually import eventually_async
from tests.support.simulator_clients import body, simulator


def admitted(quota: Quota, now: float, tokens: int = 1, in_flight: int = 0) -> bool:
    return quota.admit(now, tokens=tokens, in_flight=in_flight) is None


def test_no_window_has_more_requests_than_the_limit() -> None:
    quota = Quota(requests=2, window=60)
    assert [admitted(quota, now) for now in (0, 30, 59.9, 60, 89, 90)] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), max_size=60),
    requests=st.integers(1, 6),
    tokens=st.integers(1, 60),
)
def test_admissions_fit_every_window_and_retry_after_is_sufficient(
    arrivals: list[tuple[int, int]], requests: int, tokens: int
) -> None:
    quota = Quota(requests=requests, tokens=tokens, window=60)
    now, taken = 0, list[tuple[float, int]]()
    for pause, cost in arrivals:
        now += pause
        refusal = quota.admit(now, tokens=cost, in_flight=0)
        recent = [spent for at, spent in taken if now - at < 60]
        fits = len(recent) < requests and sum(recent) + cost <= tokens
        assert (refusal is None) == fits
        if refusal is None:
            taken.append((now, cost))
        elif cost <= tokens:
            retry = now + refusal.retry_after
            later = [spent for at, spent in taken if retry - at < 60]
            # The first limit that refuses is the one that tells how long to wait.
            if refusal.limit == "requests":
                assert len(later) < requests
            else:
                assert sum(later) + cost <= tokens


def test_a_request_larger_than_the_limit_gets_its_own_error() -> None:
    refusal = Quota(tokens=100).admit(0, tokens=101, in_flight=0)
    assert refusal is not None
    assert "too large" in refusal.message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0195, "20ms"), (1, "1s"), (1.5, "1.5s"), (60, "1m0s"), (3661.25, "61m1.25s")],
)
def test_durations_have_openais_format(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@real_time
async def test_requests_beyond_the_limit_get_429_with_retry_after() -> None:
    async with simulator(rpm=2, tpm=100_000) as clients:
        raw = await clients.openai.chat.completions.with_raw_response.create(
            **body(max_tokens=1_000)
        )
        assert raw.headers["x-ratelimit-limit-requests"] == "2"
        assert raw.headers["x-ratelimit-remaining-requests"] == "1"
        assert raw.headers["x-ratelimit-reset-requests"] == "1m0s"
        assert raw.headers["x-ratelimit-limit-tokens"] == "100000"
        assert raw.headers["x-ratelimit-remaining-tokens"] == str(100_000 - 1_005)
        await clients.ask()
        with pytest.raises(openai.RateLimitError) as caught:
            await clients.ask()
        headers = caught.value.response.headers
        assert caught.value.code == "rate_limit_exceeded"
        assert 0 < int(headers["retry-after"]) <= 60
        assert 0 < int(headers["retry-after-ms"]) <= 60_000
        assert headers["x-ratelimit-remaining-requests"] == "0"
        figures = clients.server.figures()
        assert (figures.requests, figures.refused, figures.paid) == (3, 1, 2)
        assert figures.requests_last_minute_peak == 2
        assert figures.tokens_last_minute_peak == 1_005 + 5 + 4_096


@real_time
async def test_tokens_are_charged_at_admission() -> None:
    async with simulator(tpm=10_000) as clients:
        await clients.ask(max_completion_tokens=9_000)
        with pytest.raises(openai.RateLimitError, match="tokens per min"):
            await clients.ask(max_completion_tokens=1_000)
        await clients.ask(max_completion_tokens=900)


@real_time
async def test_the_quota_window_is_real_time() -> None:
    async with simulator(rpm=1, quota_window=0.05) as clients:
        refused = 0
        for _ in range(4):
            while True:
                try:
                    await clients.ask()
                    break
                except openai.RateLimitError:
                    refused += 1
        assert refused > 0
        assert clients.server.figures().requests_last_minute_peak == 1


@real_time
async def test_calls_in_flight_are_limited() -> None:
    async with simulator(max_concurrency=3, faults={"hang": 1}, fault_first=1) as clients:
        tasks = [asyncio.create_task(clients.ask(f"Concept: {n}")) for n in range(5)]
        await eventually_async(lambda: sum(task.done() for task in tasks) == 2)
        refused = [task.exception() for task in tasks if task.done()]
        assert all(isinstance(error, openai.RateLimitError) for error in refused)
        figures = clients.server.figures()
        assert (figures.in_flight, figures.in_flight_peak, figures.refused) == (3, 3, 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@real_time
async def test_limits_can_change_and_the_used_quota_stays() -> None:
    async with simulator(rpm=5) as clients:

        async def change(words: str) -> int:
            url = f"{clients.server.root_url}/__paceline/limits?{words}"
            async with clients.http.post(url) as answer:
                return answer.status

        for _ in range(3):
            await clients.ask()
        assert await change("rpm=3") == 200
        with pytest.raises(openai.RateLimitError):
            await clients.ask()
        assert await change("rpm=4&max_concurrency=7") == 200
        await clients.ask()
        for wrong in ("", "rpm=0", "rpm=-1", "rpm=many", "speed=3", "rpm=9&x=1"):
            assert await change(wrong) == 400
        with pytest.raises(openai.RateLimitError):
            await clients.ask()
