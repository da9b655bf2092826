"""``global`` with requests and tokens per minute, over several workers in virtual time."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paceline import Done
from paceline.contracts.admission.ledger import Quota
from paceline.contracts.admission.work import Failed, RateLimited, RateLimitInfo
from paceline.errors import Fatal
from paceline.testing.lease_ledger import LeaseLedger
from paceline.testing.virtual_time import run_virtual, virtual_time
from paceline_strategies.global_limit import GlobalLimit, GlobalOptions

from tests.support.quota_workers import KEY, Office, call

quotas = st.builds(
    Quota,
    concurrency=st.none() | st.integers(1, 30),
    requests=st.none() | st.integers(5, 300),
    tokens=st.none() | st.integers(2_000, 200_000),
)


@settings(max_examples=25)
@given(
    quota=quotas,
    demands=st.lists(
        st.tuples(st.integers(1, 15), st.integers(10, 1_300), st.integers(1, 20)),
        min_size=1,
        max_size=3,
    ),
    fails=st.sampled_from([0.0, 0.3]),
    crash=st.booleans(),
    seed=st.integers(0, 3),
)
def test_no_limit_is_exceeded_in_any_minute(
    quota: Quota,
    demands: list[tuple[int, int, int]],
    fails: float,
    crash: bool,
    seed: int,
) -> None:
    async def scenario() -> None:
        office = Office(quota, workers=3, seed=seed)
        for worker, (callers, tokens, seconds) in enumerate(demands):
            office.busy(
                worker,
                f"run-{worker}",
                callers=callers,
                tokens=tokens,
                seconds=seconds,
                fails=fails,
            )
        await asyncio.sleep(70)
        if crash:
            office.crash(0)
        await asyncio.sleep(110)
        provider = office.provider
        assert provider.most_in_a_minute(lambda _: 1) <= (quota.requests or 1e9)
        assert provider.most_in_a_minute(lambda tokens: tokens) <= (quota.tokens or 1e9)
        assert provider.peak <= (quota.concurrency or 1e9)
        await office.end()

    run_virtual(scenario(), seed=seed)


@virtual_time
async def test_four_workers_use_nearly_all_of_a_quota_and_never_exceed_it() -> None:
    office = Office(Quota(requests=300, tokens=200_000), workers=4)
    for worker in range(4):
        office.busy(worker, f"run-{worker}", callers=60, tokens=600, seconds=20)
    await asyncio.sleep(361)
    used = sum(120 <= when < 360 for when, _, _ in office.provider.reached)
    assert used >= 0.97 * 4 * 300
    assert office.provider.most_in_a_minute(lambda _: 1) <= 300
    await office.end()


@pytest.mark.parametrize("off", [1 / 3, 3.0])
@virtual_time
async def test_estimates_that_are_far_off_are_corrected(off: float) -> None:
    office = Office(Quota(tokens=100_000), workers=4)
    for worker in range(4):
        office.busy(worker, f"run-{worker}", callers=60, tokens=500, seconds=15, real=off)
    await asyncio.sleep(361)
    runs = range(4)
    used = sum(office.provider.tokens_of(f"run-{run}", since=120, until=360) for run in runs)
    assert used >= 0.97 * 4 * 100_000
    late = [one for one in office.provider.reached if one[0] >= 61]
    office.provider.reached[:] = late
    assert office.provider.most_in_a_minute(lambda tokens: tokens) <= 100_000
    await office.end()


@virtual_time
async def test_shares_follow_the_weights_in_tokens_and_not_in_calls() -> None:
    office = Office(Quota(tokens=60_000), workers=3)
    office.busy(0, "short", callers=60, tokens=100)
    office.busy(1, "long", callers=60, tokens=1_000)
    office.busy(2, "heavy", callers=60, tokens=300, weight=2.0)
    await asyncio.sleep(600)
    used = {run: office.provider.tokens_of(run, since=60) for run in ("short", "long", "heavy")}
    # One call's tokens of each, and what one batch of each process may hold.
    assert abs(used["short"] - used["long"]) <= 2 * 1_500 + 1_500
    assert abs(used["heavy"] - 2 * used["short"]) <= 2 * (2 * 1_500 + 1_500)
    await office.end()


@virtual_time
async def test_the_runs_of_a_tenant_share_its_weight_over_all_workers() -> None:
    office = Office(Quota(requests=120), workers=3)
    for number in range(6):
        office.busy(number % 3, f"many-{number}", callers=20, tenant="many")
    office.busy(1, "one", callers=60, tenant="one")
    await asyncio.sleep(600)
    of_one = sum(run == "one" for _, _, run in office.provider.reached)
    assert abs(of_one / len(office.provider.reached) - 0.5) < 0.05
    await office.end()


@settings(max_examples=6)
@given(
    tenants=st.lists(
        st.tuples(
            st.sampled_from([0.5, 1.0, 3.0]), st.integers(1, 3), st.sampled_from([100, 300, 900])
        ),
        min_size=2,
        max_size=3,
    ),
    seed=st.integers(0, 3),
)
def test_shares_of_tenants_match_their_weights_within_one_call_per_run_and_process(
    tenants: list[tuple[float, int, int]], seed: int
) -> None:
    async def scenario() -> None:
        office = Office(Quota(tokens=60_000), workers=3, seed=seed)
        for tenant, (weight, runs, tokens) in enumerate(tenants):
            for run in range(runs):
                office.busy(
                    (tenant + run) % 3,
                    f"{tenant}-{run}",
                    callers=60,
                    tokens=tokens,
                    seconds=2,
                    tenant=f"tenant-{tenant}",
                    weight=weight,
                )
        await asyncio.sleep(300)
        used = [
            sum(office.provider.tokens_of(f"{tenant}-{run}", since=60) for run in range(runs))
            for tenant, (_, runs, _) in enumerate(tenants)
        ]
        slack = [(runs + 3) * 1.5 * tokens / weight for weight, runs, tokens in tenants]
        for one, (weight, _, _) in enumerate(tenants):
            for other, (heavy, _, _) in enumerate(tenants):
                apart = abs(used[one] / weight - used[other] / heavy)
                assert apart <= slack[one] + slack[other]
        await office.end()

    run_virtual(scenario(), seed=seed)


ends = st.sampled_from(["done", "refused", "never arrived", "cancelled"])


@settings(max_examples=25)
@given(calls=st.lists(st.tuples(st.integers(1, 900), st.integers(1, 3_000), ends), max_size=40))
@virtual_time
async def test_reservations_equal_the_tokens_counted_by_the_provider_plus_the_refunds(
    calls: list[tuple[int, int, str]],
) -> None:
    ledger = LeaseLedger()
    workers = [GlobalLimit(Quota(tokens=1_000_000), ledger, holder=name) for name in "ab"]

    async def one(number: int, cost: int, real: int, end: str) -> None:
        await asyncio.sleep(number / 7)
        waits = asyncio.create_task(workers[number % 2].admit(call(tokens=cost)))
        if end == "cancelled" and number % 3:
            waits.cancel()  # before, or in the moment in which, it would be admitted
            await asyncio.wait({waits})
            if waits.cancelled():
                return
        permit = await waits
        await asyncio.sleep(1)
        if end == "done":
            permit.release(Done(real))
        else:
            permit.release(RateLimited(0.0) if end == "refused" else Failed())

    await asyncio.gather(*(one(number, *each) for number, each in enumerate(calls)))
    await asyncio.sleep(1)
    for worker in workers:
        await worker.close()
    use = (await ledger.sync(f"global:{KEY}", quota=Quota(tokens=1), holder="c")).use
    assert use.tokens == sum(real for _, real, end in calls if end == "done")
    assert use.out == 0


@virtual_time
async def test_a_small_run_behind_large_ones_is_served_immediately() -> None:
    office = Office(Quota(requests=110), workers=4)
    for number in range(10):
        office.busy(number % 4, f"large-{number}", callers=40)
    await asyncio.sleep(120)
    since = asyncio.get_running_loop().time()
    small = [office.call(3, call("small"), seconds=1) for _ in range(15)]
    await asyncio.gather(*small)
    # A share of one in eleven is ten requests a minute.
    assert asyncio.get_running_loop().time() - since < 1.15 * 90 + 2
    await office.end()


@virtual_time
async def test_a_dead_worker_does_not_block_the_quota() -> None:
    office = Office(Quota(concurrency=30), workers=3)
    for worker in range(3):
        office.busy(worker, f"run-{worker}", callers=40, seconds=2)
    await asyncio.sleep(20)
    office.crash(0)
    before = len(office.provider.reached)
    await asyncio.sleep(60)
    # A third is gone for one lease time, and what it was told of for seconds.
    assert len(office.provider.reached) - before > 0.6 * 30 / 2.2 * 60
    await office.end()


@virtual_time
async def test_a_burst_of_refusals_in_one_worker_pauses_all_workers_once() -> None:
    ledger = LeaseLedger()
    one, other = (GlobalLimit(Quota(concurrency=8), ledger, holder=n) for n in "ab")
    loop = asyncio.get_running_loop()
    permits = [await one.admit(call()) for _ in range(6)]
    for permit in permits:
        permit.release(RateLimited(4.0))
    await asyncio.sleep(0.5)
    (await other.admit(call())).release(Done())
    assert 4.0 <= loop.time() < 4.3
    assert "1 waiting" not in other.explain()
    for worker in (one, other):
        await worker.close()


@virtual_time
async def test_a_lower_quota_in_the_headers_applies_to_all_workers() -> None:
    office = Office(Quota(requests=600), workers=2)
    permit = await office.workers[0].admit(call())
    permit.release(Done(rate_limit_info=RateLimitInfo(requests=60, requests_left=59)))
    await asyncio.sleep(1)
    for worker in range(2):
        office.busy(worker, f"run-{worker}", callers=60, seconds=1)
    await asyncio.sleep(240)
    assert office.provider.most_in_a_minute(lambda _: 1) <= 60
    assert "of 60 requests used" in office.workers[1].explain()
    await office.end()


@virtual_time
async def test_a_call_larger_than_the_quota_is_rejected_with_the_reason() -> None:
    worker = GlobalLimit(Quota(tokens=5_000), LeaseLedger(), holder="w")
    with pytest.raises(Fatal, match=r"9000 tokens.*tokens_per_minute = 5000"):
        await worker.admit(call(tokens=9_000))
    (await worker.admit(call(tokens=5_000))).release(Failed())
    await worker.close()


@virtual_time
async def test_the_explanation_names_limits_use_and_why_calls_wait() -> None:
    quota = Quota(concurrency=5, requests=60, tokens=6_000)
    worker = GlobalLimit(quota, LeaseLedger(), holder="w")
    permit = await worker.admit(call(tokens=4_000))
    waits = asyncio.create_task(worker.admit(call(tokens=4_000)))
    await asyncio.sleep(1)
    assert worker.explain() == (
        "5 calls, 60 requests a minute, 6000 tokens a minute over all workers, 1 held here, "
        f"1 waiting; {KEY}: 1 of 60 requests used, 4000 of 6000 tokens used, "
        "the tokens of this minute are used up"
    )
    waits.cancel()
    permit.release(Done())
    await worker.close()


@pytest.mark.parametrize(
    ("options", "rated"),
    [({"concurrency": 5}, False), ({"requests_per_minute": 5}, True), ({}, False)],
)
def test_global_is_rate_limited_if_its_options_set_a_rate(
    options: dict[str, int],
    rated: bool,
) -> None:
    made = GlobalOptions(**options)
    quota = Quota(concurrency=made.concurrency, requests=made.requests_per_minute)
    assert GlobalLimit(quota, LeaseLedger(), holder="w").rate_limited is rated
