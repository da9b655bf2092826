"""Limits of ``global`` that an operator changes while four workers run, in virtual time."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from paceline import Done
from paceline.admission import LiveControls
from paceline.contracts.admission.ledger import Quota
from paceline.contracts.controls import Controls, LimitOverride
from paceline.testing.lease_ledger import LeaseLedger
from paceline.testing.virtual_time import run_virtual, virtual_time
from paceline_strategies.global_limit import GlobalLimit

from tests.support.quota_workers import KEY, Counting, Office, call

#: Seconds that a call needs at most to reach the provider.
ARRIVAL = 0.4


def most_after(provider: Counting, since: float, until: float, what: str) -> int:
    """The largest use in any minute of calls that arrived between two moments."""
    part = Counting([one for one in provider.reached if since <= one[0] < until])
    return part.most_in_a_minute((lambda _: 1) if what == "requests" else (lambda tokens: tokens))


@settings(max_examples=15)
@given(
    requests=st.lists(st.sampled_from([60, 120, 240, 480]), min_size=2, max_size=4),
    tokens=st.booleans(),
    gaps=st.lists(st.floats(5, 90), min_size=4, max_size=4),
    seed=st.integers(0, 3),
)
def test_no_window_that_begins_after_a_change_exceeds_the_new_limit(
    requests: list[int], tokens: bool, gaps: list[float], seed: int
) -> None:
    async def scenario() -> None:
        office = Office(Quota(requests=200, tokens=200_000), workers=4, seed=seed)
        for worker in range(4):
            office.busy(worker, f"run-{worker}", callers=40, tokens=400, seconds=10)
        changes: list[tuple[float, int]] = []
        for number, (limit, gap) in enumerate(zip(requests, gaps, strict=False)):
            await asyncio.sleep(gap)
            values = {"requests_per_minute": limit}
            if tokens:
                values = {"tokens_per_minute": limit * 500}
            await office.change(number + 1, **values)
            changes.append((asyncio.get_running_loop().time(), limit))
        await asyncio.sleep(90)
        ends = [*(at for at, _ in changes[1:]), asyncio.get_running_loop().time()]
        for (at, limit), end in zip(changes, ends, strict=True):
            used = most_after(
                office.provider, at + ARRIVAL, end, "tokens" if tokens else "requests"
            )
            assert used <= (limit * 500 if tokens else limit)
        await office.end()

    run_virtual(scenario(), seed=seed)


@virtual_time
async def test_halving_and_doubling_a_quota_is_used_at_once() -> None:
    office = Office(Quota(requests=240), workers=4)
    for worker in range(4):
        office.busy(worker, f"run-{worker}", callers=60, seconds=10)
    await asyncio.sleep(120)
    await office.change(1, requests_per_minute=120)
    await asyncio.sleep(180)
    await office.change(2, requests_per_minute=480)
    await asyncio.sleep(181)
    reached = office.provider.reached
    halved = sum(180 <= when < 300 for when, _, _ in reached)
    doubled = sum(361 <= when < 481 for when, _, _ in reached)
    assert 0.95 * 240 <= halved <= 241
    assert 0.95 * 960 <= doubled <= 961
    await office.end()


@virtual_time
async def test_a_lower_concurrency_lets_calls_end_and_starts_no_more() -> None:
    office = Office(Quota(concurrency=20), workers=4)
    for worker in range(4):
        office.busy(worker, f"run-{worker}", callers=20, seconds=10)
    await asyncio.sleep(60)
    assert office.provider.out > 15
    await office.change(1, concurrency=5)
    await asyncio.sleep(20)
    office.provider.peak = 0
    await asyncio.sleep(100)
    assert 4 <= office.provider.peak <= 5
    await office.end()


@virtual_time
async def test_a_worker_that_does_not_know_the_change_yet_keeps_it() -> None:
    office = Office(Quota(concurrency=20), workers=4)
    for worker in range(4):
        office.busy(worker, f"run-{worker}", callers=20, seconds=10)
    await asyncio.sleep(60)
    await office.change(1, spread=1e6, concurrency=5)
    await asyncio.sleep(20)
    office.provider.peak = 0
    await asyncio.sleep(100)
    assert office.provider.peak <= 5
    await office.end()


@virtual_time
async def test_a_reset_returns_to_the_settings_although_a_newer_version_was_seen() -> None:
    office = Office(Quota(concurrency=12), workers=2)
    for worker in range(2):
        office.busy(worker, f"run-{worker}", callers=20, seconds=10)
    await office.change(1, concurrency=3)
    await asyncio.sleep(60)
    await office.change(2)
    office.provider.peak = 0
    await asyncio.sleep(60)
    assert office.provider.peak == 12
    await office.end()


def test_numbers_of_a_model_go_before_those_of_all_models() -> None:
    controls = LiveControls()
    common = LimitOverride(limit="global", values={"concurrency": 5}, version=1)
    own = LimitOverride(limit="global", key=KEY, values={"requests_per_minute": 7}, version=2)
    controls.update(Controls(version=2, limits=(common, own)))
    strategy = GlobalLimit(
        Quota(concurrency=9, tokens=100),
        LeaseLedger(),
        holder="h",
        keys={"openai:set": Quota(concurrency=1)},
        controls=controls,
    )
    assert strategy._quota_of(KEY) == Quota(concurrency=5, requests=7, tokens=100, version=2)
    assert strategy._quota_of("openai:other") == Quota(concurrency=5, tokens=100, version=1)
    assert strategy._quota_of("openai:set") == Quota(concurrency=1)
    assert f"{KEY}: 5 calls, 7 requests a minute" in strategy.explain()


@virtual_time
async def test_waiters_are_served_at_once_when_a_limit_is_raised() -> None:
    controls = LiveControls()
    strategy = GlobalLimit(Quota(concurrency=1), LeaseLedger(), holder="h", controls=controls)
    first = await strategy.admit(call())
    waiting = asyncio.ensure_future(strategy.admit(call()))
    await asyncio.sleep(1)
    (figures,) = strategy.limits()
    assert (figures.used, figures.waiting, figures.reason) == (1, 1, "all permits are in use")
    raised = LimitOverride(limit="global", key=KEY, values={"concurrency": 2}, version=1)
    controls.update(Controls(version=1, limits=(raised,)))
    strategy.limits_changed()
    await asyncio.sleep(0.01)
    assert waiting.done()
    for permit in (first, await waiting):
        permit.release(Done())
    await strategy.close()
