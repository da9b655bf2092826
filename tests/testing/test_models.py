"""Models of providers behave as documented."""

import asyncio
from collections.abc import Sequence

import pytest
from paceline import errors
from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.admission.work import Done, RateLimited, RateLimitInfo, parse_rate_limits
from paceline.contracts.provider import CompletionRequest, Message
from paceline.testing.demand import demand
from paceline.testing.models import ModelProvider, Others, Steps, always
from paceline.testing.scripted import plain_answer
from paceline.testing.virtual_time import run_virtual, virtual_time
from paceline_strategies.unbounded import Unbounded


def exact(**shape: object) -> ModelProvider:
    """A provider where a single call takes ten seconds."""
    provider = ModelProvider(seconds=10.0, spread=0.0, round_trip=0.0)
    for name, value in shape.items():
        setattr(provider, name, value)
    return provider


async def at_once(provider: ModelProvider, count: int, tokens: int = 0) -> list[Done | RateLimited]:
    """This number of calls at the same moment."""
    return list(await asyncio.gather(*(provider.call(tokens) for _ in range(count))))


@virtual_time
async def test_the_model_provider_refuses_calls_above_its_concurrency_and_recovers() -> None:
    provider = exact(concurrency=Steps([(0.0, 3), (15.0, 5)]))
    first = await at_once(provider, 5)
    assert [type(one) for one in first] == [Done] * 3 + [RateLimited] * 2
    await asyncio.sleep(10.0)
    second = await at_once(provider, 6)
    assert sum(isinstance(one, Done) for one in second) == 5
    assert (provider.peak, len(provider.refused), len(provider.answered)) == (5, 3, 8)


@virtual_time
async def test_the_model_provider_counts_requests_and_tokens_per_minute_and_reports_them() -> None:
    provider = exact(requests=always(4), tokens=always(1000), headers=True, retry_after=True)
    done = await at_once(provider, 2, tokens=300)
    assert isinstance(done[1], Done)
    said = done[1].rate_limit_info
    assert said is not None
    assert (said.requests, said.requests_left) == (4, 2)
    assert (said.tokens, said.tokens_left) == (1000, 400)
    (refused,) = await at_once(provider, 1, tokens=500)
    assert isinstance(refused, RateLimited)
    assert refused.retry_after == pytest.approx(50.0)  # the first two started ten seconds ago
    await asyncio.sleep(50.0)
    assert isinstance((await at_once(provider, 1, tokens=500))[0], Done)


@pytest.mark.parametrize(
    ("calls", "seconds"),
    [(1, 10.0 * 1.125), (4, 10.0 * 1.5), (8, 10.0 * 1.5 * 2), (16, 10.0 * 1.5 * 4)],
)
@virtual_time
async def test_the_model_provider_gets_slower_above_its_knee(calls: int, seconds: float) -> None:
    provider = exact(knee=4, slope=0.5)
    await at_once(provider, calls)
    assert asyncio.get_running_loop().time() == pytest.approx(seconds)


@virtual_time
async def test_a_new_call_slows_the_others_and_a_finished_call_speeds_them_up() -> None:
    provider = exact(knee=1)
    loop = asyncio.get_running_loop()
    first = asyncio.create_task(provider.call())
    await asyncio.sleep(5.0)
    gone = asyncio.create_task(provider.call())
    await asyncio.sleep(4.0)
    gone.cancel()
    await first
    assert loop.time() == pytest.approx(12.0)  # five alone, two in four shared, three alone
    assert provider.in_flight == 0


def test_waste_above_the_knee_slows_all_calls() -> None:
    async def scenario(waste: float) -> float:
        await at_once(exact(knee=4, waste=waste), 16)
        return asyncio.get_running_loop().time()

    assert run_virtual(scenario(0.5)) == pytest.approx(2 * run_virtual(scenario(0.0)))


@virtual_time
async def test_calls_of_a_step_have_the_latency_of_that_step() -> None:
    provider = exact(ranges={"quiz": (3.0, 5.0)})
    done = [await provider.call(step=step) for step in ("quiz", "quiz", "tutorial")]
    one, other, unknown = [one.seconds for one in done if isinstance(one, Done)]
    assert one != other
    assert min(one, other) >= 3.0
    assert max(one, other) <= 5.0
    assert unknown == pytest.approx(10.0)


@virtual_time
async def test_other_clients_share_the_quota_while_they_are_active() -> None:
    others = Others(since=60.0, until=90.0, requests=12)
    provider = ModelProvider(spread=0.0, requests=always(10), headers=True, others=[others])
    done: list[int | None] = []
    for _ in range(3):
        (one,) = await at_once(provider, 1)
        assert isinstance(one, Done)
        assert one.rate_limit_info is not None
        done.append(one.rate_limit_info.requests_left)
        await asyncio.sleep(65.0)
    # At 75 s four of theirs have come, and all six by 150 s, of which one is 65 s ago.
    assert done == [9, 5, 9]
    assert len(provider.admitted) == 3


@virtual_time
async def test_the_model_provider_works_as_a_provider_of_the_pipeline() -> None:
    provider = ModelProvider(spread=0.0, tokens=always(2_000), headers=True, retry_after=True)
    provider.charged = 2.0
    request = CompletionRequest(
        messages=(Message("user", "word" * 100),), step="quiz", max_tokens=500
    )
    answer = await provider.complete(request)
    assert answer.text == plain_answer("quiz")
    assert answer.prompt_tokens + request.max_tokens == 2 * request.estimated_tokens()
    said = parse_rate_limits(answer.rate_limit_headers)
    assert said == RateLimitInfo(tokens=2_000, tokens_left=800)
    with pytest.raises(errors.Refused) as refused:
        await provider.complete(request)
    assert refused.value.retry_after == pytest.approx(50.0)
    assert parse_rate_limits(refused.value.rate_limit_headers) == said


@virtual_time
async def test_demand_retries_after_refusals_and_ends_in_time() -> None:
    provider = exact(concurrency=always(4))
    workers: Sequence[Strategy] = [Unbounded(), Unbounded()]
    await demand(workers, provider, callers=4, seconds=100.0)
    assert asyncio.get_running_loop().time() == 100.0
    assert len(provider.refused) > 4
    assert 20 < len(provider.answered) <= 40
    assert provider.peak == 4
