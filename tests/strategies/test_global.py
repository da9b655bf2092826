"""``global``: one limit over all workers."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline import Done, Grant, RateLimited, Work
from paceline.admission import SharedLimiter
from paceline.admission.shared_limiter import PATIENCE
from paceline.contracts.admission.ledger import LeaseRelease, LeaseRequest, Ledger, Quota
from paceline.contracts.admission.work import Level
from paceline.errors import PartRejected, PartUnavailable
from paceline.generation.strategy_stack import StrategyStack
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.testing.lease_ledger import LeaseLedger
from paceline.testing.virtual_time import run_virtual, virtual_time
from paceline_adapters.memory.ledger import MemoryLedger
from paceline_strategies.global_limit import GlobalLimit

from tests.support.permit_requests import Member, assert_first_come_first_served, crowds, let_in


def work(key: str = "openai:gpt", level: Level = "call", run: str = "run", tokens: int = 0) -> Work:
    """A call to a model."""
    return Work(level=level, run_id=run, roadmap_id=run, concept_id="c", key=key, tokens=tokens)


class Unreliable(MemoryLedger):
    """Counts syncs, and can be unreachable or lose leases."""

    def __init__(self) -> None:
        super().__init__(lease_seconds=30.0)
        self.syncs = 0
        self.failures = 0
        self.granted = 0
        self.renewals: list[float] = []
        self.unreachable = False
        self.forgets = False
        self.broken = False
        self.takes = 0.001

    def reach(self) -> None:
        if self.unreachable:
            self.failures += 1
            raise PartUnavailable("the ledger is unreachable")

    async def sync(
        self,
        limit: str,
        *,
        quota: Quota,
        holder: str,
        requests: Sequence[LeaseRequest] = (),
        releases: Sequence[LeaseRelease] = (),
    ) -> Grant:
        self.syncs += 1
        await asyncio.sleep(self.takes)
        self.reach()
        if self.broken:
            raise ZeroDivisionError
        grant = await super().sync(
            limit, quota=quota, holder=holder, requests=requests, releases=releases
        )
        self.granted = self._tables[limit]._number
        return grant

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        self.reach()
        self.renewals.append(asyncio.get_running_loop().time())
        if self.forgets:
            return list(leases)
        return await super().renew(limit, holder=holder, leases=leases)


def limiter_over(ledger: Ledger, limit: int, *, holder: str | None = None) -> SharedLimiter:
    """One more process that uses the limit."""
    quota = Quota(concurrency=limit)
    return SharedLimiter(ledger, name="limit", quota=lambda: quota, holder=holder)


def calls(limit: int) -> Quota:
    """So many calls at once."""
    return Quota(concurrency=limit)


@virtual_time
async def test_limits_the_calls_of_all_workers() -> None:
    ledger = MemoryLedger()
    workers = [GlobalLimit(calls(8), ledger, holder=f"w{n}") for n in range(4)]

    async def call(worker: GlobalLimit) -> None:
        permit = await worker.admit(work())
        await asyncio.sleep(1)
        permit.release(Done())

    await asyncio.gather(*(call(worker) for worker in workers for _ in range(20)))
    assert asyncio.get_running_loop().time() == 10.0


@virtual_time
async def test_each_model_has_its_own_limit() -> None:
    worker = GlobalLimit(calls(1), MemoryLedger(), holder="w")
    assert worker.levels == {"call"}
    permits = [await worker.admit(work(key)) for key in ("a", "b", "c")]
    assert worker.explain() == "1 calls in this process, 3 held here, 0 waiting"
    for permit in permits:
        permit.release(Done())
    await worker.close()


@virtual_time
async def test_is_made_from_the_settings_with_the_ledger_of_the_process() -> None:
    ledger, plugins = MemoryLedger(), Plugins()
    context = Context(settings=Settings(), worker_id="w1", ledger=lambda: ledger)
    strategy = plugins.strategy("global").make({"concurrency": 2}, context, "strategies.global")
    stack = StrategyStack([("global", strategy)])
    permits = [await stack.admit(work()) for _ in range(2)]
    (holder,) = await ledger.held("global:openai:gpt")
    assert holder.startswith("w1-")
    waits = asyncio.create_task(stack.admit(work()))
    await asyncio.sleep(1)
    assert stack.explain() == (
        "global (2 calls in this process, 2 held here, 1 waiting; "
        "openai:gpt: all permits are in use)"
    )
    permits[0].release(Done())
    (await waits).release(Done())
    permits[1].release(Done())
    await stack.close()
    assert await ledger.held("global:openai:gpt") == {}


@given(crowd=crowds, limit=st.integers(1, 4), seed=st.integers(0, 3))
def test_cancelling_at_any_moment_leaks_nothing_and_exceeds_no_limit(
    crowd: list[Member], limit: int, seed: int
) -> None:
    async def scenario() -> None:
        ledger = Unreliable()
        processes = [limiter_over(ledger, limit) for _ in range(3)]
        peak = 0

        async def watch() -> None:
            nonlocal peak
            while True:
                peak = max(peak, sum((await ledger.held("limit")).values()))
                await asyncio.sleep(0.05)

        watching = asyncio.create_task(watch())
        await let_in(crowd, lambda member: processes[member.gate].admit(work()))
        await asyncio.sleep(1)
        assert await ledger.held("limit") == {}
        assert all(process.idle and process._pump is None for process in processes)
        assert peak <= limit
        watching.cancel()
        # Each process alone can have all of it again.
        for process in processes:
            for permit in [await process.admit(work()) for _ in range(limit)]:
                permit.release(Done())
            await asyncio.sleep(1)

    run_virtual(scenario(), limit=1000.0, seed=seed)


@given(crowd=crowds, limit=st.integers(1, 4))
@virtual_time(limit=1000.0)
async def test_waiters_of_one_process_are_served_in_their_order(
    crowd: list[Member], limit: int
) -> None:
    patient = [Member(m.comes, m.works, None, m.gate) for m in crowd]

    ledger = MemoryLedger()
    processes = [limiter_over(ledger, limit) for _ in range(3)]
    seen = await let_in(patient, lambda member: processes[member.gate].admit(work()))
    assert_first_come_first_served(patient, seen)


@virtual_time
async def test_a_new_process_soon_gets_its_share() -> None:
    ledger = MemoryLedger()
    early, late = limiter_over(ledger, 20), limiter_over(ledger, 20)
    started = {early: 0, late: 0}

    async def calls(limiter: SharedLimiter, seconds: float) -> None:
        while True:
            permit = await limiter.admit(work())
            started[limiter] += 1
            await asyncio.sleep(seconds)
            permit.release(Done())

    spread = [20 + number / 4 for number in range(40)]
    tasks = [asyncio.create_task(calls(early, seconds)) for seconds in spread]
    await asyncio.sleep(5)
    assert early.held == 20
    tasks += [asyncio.create_task(calls(late, seconds)) for seconds in spread]
    before = started[early]
    await asyncio.sleep(30.1)
    for _ in range(20):
        await asyncio.sleep(7)
        assert early.held + late.held == 20
        assert abs(started[early] - before - started[late]) <= 1
        assert abs(early.held - late.held) <= 6  # some calls are longer than others
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@virtual_time
async def test_many_waiters_need_few_syncs() -> None:
    ledger = Unreliable()
    limiter = limiter_over(ledger, 100)
    waits = [asyncio.create_task(limiter.admit(work())) for _ in range(5000)]
    for batch in range(0, 5000, 100):
        permits = await asyncio.gather(*waits[batch : batch + 100])
        for permit in permits:
            permit.release(Done())
    await limiter.close()
    assert ledger.syncs < 70


@pytest.mark.parametrize("waiters", [1, 64, 1000])
@virtual_time(seed=1)
async def test_one_sync_releases_a_permit_and_grants_it_again_for_any_number_of_waiters(
    waiters: int,
) -> None:
    ledger = Unreliable()
    one, other = limiter_over(ledger, 4), limiter_over(ledger, 4)

    async def busy(limiter: SharedLimiter) -> None:
        while True:
            permit = await limiter.admit(work())
            await asyncio.sleep(random.uniform(1, 3))
            permit.release(Done())

    callers = [asyncio.create_task(busy(each)) for each in (one, other) for _ in range(waiters)]
    await asyncio.sleep(20)
    before, since = ledger.syncs, ledger.granted
    await asyncio.sleep(400)
    admitted = ledger.granted - since
    assert admitted > 300
    # In addition, the requests of waiters are renewed three times per lease time.
    assert ledger.syncs - before <= 1.1 * admitted + 2 * 40
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    for each in (one, other):
        await each.close()


@virtual_time(seed=1)
async def test_while_the_ledger_is_unreachable_permits_are_reused_until_their_leases_expire() -> (
    None
):
    ledger = Unreliable()
    limiter = limiter_over(ledger, 5)
    out = peak = done = 0

    async def call() -> None:
        nonlocal out, peak, done
        permit = await limiter.admit(work())
        out += 1
        peak = max(peak, out)
        await asyncio.sleep(random.uniform(0.5, 1.5))
        out -= 1
        done += 1
        permit.release(Done())

    calls = [asyncio.create_task(call()) for _ in range(500)]
    await asyncio.sleep(0.5)
    ledger.unreachable = True
    await asyncio.sleep(20)
    # The first release may have been sent; the other leases are reused.
    assert 40 <= done <= 100
    await asyncio.sleep(30)  # more than a lease
    over = done
    await asyncio.sleep(60)
    assert done == over, "a permit was reused after its lease expired"
    ledger.unreachable = False
    await asyncio.sleep(10)
    assert done > over + 20
    assert peak <= 5
    for one in calls:
        one.cancel()
    await asyncio.wait(calls)
    await limiter.close()
    assert await ledger.held("limit") == {}


@virtual_time
async def test_no_permit_is_reused_if_a_rate_is_limited() -> None:
    ledger = Unreliable()
    quota = Quota(concurrency=5, requests=6_000)
    limiter = SharedLimiter(ledger, name="limit", quota=lambda: quota)
    permits = [await limiter.admit(work()) for _ in range(5)]
    waits = [asyncio.create_task(limiter.admit(work())) for _ in range(5)]
    await asyncio.sleep(1)
    ledger.unreachable = True
    for permit in permits:
        permit.release(Done())
    await asyncio.sleep(20)
    assert not any(wait.done() for wait in waits)
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)
    await limiter.close()


@virtual_time(seed=1)
async def test_an_unreachable_ledger_is_retried_with_pauses_and_work_resumes() -> None:
    ledger = Unreliable()
    limiter = limiter_over(ledger, 10)
    permits = [await limiter.admit(work()) for _ in range(10)]
    for permit in permits[5:]:
        permit.release(RateLimited())
    await asyncio.sleep(10)
    ledger.unreachable = True
    waits = [asyncio.create_task(limiter.admit(work())) for _ in range(200)]
    await asyncio.sleep(PATIENCE - 10)
    assert not any(wait.done() for wait in waits)
    assert 50 < ledger.failures < 1000
    ledger.unreachable = False
    done, _ = await asyncio.wait(waits, timeout=10)
    assert len(done) == 5
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)
    await limiter.close()


@virtual_time
async def test_waiters_get_the_error_of_a_ledger_that_stays_unreachable() -> None:
    ledger = Unreliable()
    limiter = limiter_over(ledger, 1)
    permit = await limiter.admit(work())
    wait = asyncio.create_task(limiter.admit(work()))
    await asyncio.sleep(1)
    ledger.unreachable = True
    permit.release(RateLimited())
    with pytest.raises(PartUnavailable, match="unreachable"):
        async with asyncio.timeout(PATIENCE + 30):
            await wait
    later = asyncio.create_task(limiter.admit(work()))
    await asyncio.sleep(PATIENCE / 2)
    assert not later.done(), "each waiter has the same patience"
    ledger.unreachable = False
    (await later).release(Done())
    await limiter.close()


@virtual_time
async def test_a_ledger_that_rejects_this_process_ends_the_wait_at_once() -> None:
    class Rejecting(Unreliable):
        async def sync(self, *args: Any, **kwargs: Any) -> Grant:
            raise PartRejected("wrong password")

    limiter = limiter_over(Rejecting(), 1)
    with pytest.raises(PartRejected, match="wrong password"):
        async with asyncio.timeout(1):
            await limiter.admit(work())
    await limiter.close()


@virtual_time
async def test_leases_are_renewed_only_while_they_are_held() -> None:
    ledger = Unreliable()
    limiter = limiter_over(ledger, 10)
    permit = await limiter.admit(work())
    await asyncio.sleep(95)
    assert [round(at) for at in ledger.renewals] == [10 * n for n in range(1, 10)]
    permit.release(Done())
    await asyncio.sleep(100)
    assert len(ledger.renewals) == 9
    assert limiter._pump is None


@virtual_time(seed=1)
async def test_leases_are_renewed_however_many_syncs_there_are() -> None:
    ledger = Unreliable()
    ledger.takes = 0.5
    limiter = limiter_over(ledger, 50)
    long = await limiter.admit(work())

    async def busy() -> None:
        while True:
            permit = await limiter.admit(work())
            await asyncio.sleep(random.uniform(0.1, 1))
            permit.release(Done())

    callers = [asyncio.create_task(busy()) for _ in range(60)]
    await asyncio.sleep(95)
    assert len(ledger.renewals) >= 9
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    long.release(Done())
    await limiter.close()


@virtual_time
async def test_leases_that_expired_too_early_are_reported_and_released_without_harm() -> None:
    ledger = Unreliable()
    worker = GlobalLimit(calls(3), ledger, holder="w")
    permits = [await worker.admit(work()) for _ in range(3)]
    ledger.forgets = True
    await asyncio.sleep(15)
    assert worker.explain() == (
        "3 calls in this process, 3 held here, 0 waiting, 3 leases expired too early"
    )
    for permit in permits:
        permit.release(Done())
    await worker.close()


@virtual_time
async def test_a_reply_that_arrives_after_its_leases_expired_starts_no_call() -> None:
    ledger = LeaseLedger()
    ledger.reply_delay = 40.0  # the process was frozen before it read the answer
    frozen, other = (limiter_over(ledger, 2, holder=name) for name in "ab")
    waits = [asyncio.create_task(frozen.admit(work())) for _ in range(2)]
    await asyncio.sleep(1)
    ledger.reply_delay = 0.0
    await asyncio.sleep(34)
    permits = [await other.admit(work()) for _ in range(2)]
    await asyncio.sleep(30)
    assert not any(wait.done() for wait in waits)
    for permit in permits:
        permit.release(Done())
    for wait in waits:
        (await wait).release(Done())
    for limiter in (frozen, other):
        await limiter.close()


@virtual_time
async def test_an_error_of_the_ledger_ends_all_waits() -> None:
    ledger = Unreliable()
    limiter = limiter_over(ledger, 1)
    ledger.broken = True
    with pytest.raises(ZeroDivisionError):
        await limiter.admit(work())
    ledger.broken = False
    (await limiter.admit(work())).release(Done())
    await limiter.close()


@virtual_time
async def test_closing_releases_all_leases_and_cancels_all_waits() -> None:
    ledger = Unreliable()
    limiter = limiter_over(ledger, 2)
    permits = [await limiter.admit(work()) for _ in range(2)]
    waits = asyncio.create_task(limiter.admit(work()))
    await asyncio.sleep(1)
    await limiter.close()
    assert await ledger.held("limit") == {}
    assert (await asyncio.wait({waits}))[0].pop().cancelled()
    for permit in permits:
        permit.release(Done())


@virtual_time
async def test_closing_takes_seconds_even_if_the_ledger_is_unreachable() -> None:
    ledger = Unreliable()
    limiter = limiter_over(ledger, 2)
    await limiter.admit(work())
    ledger.unreachable = True
    wait = asyncio.create_task(limiter.admit(work()))
    await asyncio.sleep(100)
    since = asyncio.get_running_loop().time()
    await limiter.close()
    await asyncio.wait({wait})
    assert (asyncio.get_running_loop().time() - since) < 6
