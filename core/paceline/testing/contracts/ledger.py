"""What every ledger promises: never more than the quota, and fair shares of it."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import ClassVar

from paceline.contracts.admission.ledger import (
    Grant,
    Lease,
    LeaseRelease,
    LeaseRequest,
    Ledger,
    Quota,
)
from paceline.contracts.admission.work import RateLimitInfo
from paceline.testing.contracts.contract import Contract, scenario, when

FOUR = Quota(concurrency=4)


async def request(
    ledger: Ledger,
    holder: str,
    count: int,
    *,
    cost: int = 0,
    releases: Iterable[Lease | str | LeaseRelease] = (),
    quota: Quota = FOUR,
    limit: str = "limit",
) -> tuple[Lease, ...]:
    """Sync with that many waiters of one flow, and return the granted leases."""
    requests = [LeaseRequest("run", [cost] * count)]
    grant = await sync(ledger, holder, requests, releases=releases, quota=quota, limit=limit)
    return grant.leases


async def sync(
    ledger: Ledger,
    holder: str,
    requests: Sequence[LeaseRequest] = (),
    *,
    releases: Iterable[Lease | str | LeaseRelease] = (),
    quota: Quota = FOUR,
    limit: str = "limit",
) -> Grant:
    """Sync, and return all of the result."""
    return await ledger.sync(
        limit, quota=quota, holder=holder, requests=requests, releases=list(map(_release, releases))
    )


def _release(one: Lease | str | LeaseRelease) -> LeaseRelease:
    if isinstance(one, LeaseRelease):
        return one
    return LeaseRelease(one.name if isinstance(one, Lease) else one)


async def notified(ledger: Ledger, holder: str) -> tuple[Lease, ...]:
    """The leases that a holder is notified of."""
    return await ledger.wait_for_grants("limit", holder=holder, seconds=10)


class LedgerContract(Contract):
    """Inherit it, and make a ledger.

    Declare:
        lease: lease time of the ledger that you make, in seconds.
        expires: whether leases expire when they are not renewed. If your ledger runs in real
            time, make the lease short.
    """

    lease: ClassVar[float] = 30.0
    expires: ClassVar[bool] = True

    def ledger(self) -> Ledger:
        """Make your ledger, empty; called on the event loop."""
        raise NotImplementedError(f"{type(self).__name__}.ledger() must return the ledger to test")

    def new_ledger(self) -> Ledger:
        """A new ledger, closed at the end of the scenario."""
        ledger = self.ledger()
        self.opened.push_async_callback(ledger.close)
        return ledger

    # -- leases --------------------------------------------------------------------------------

    @when("expires")
    @scenario
    async def test_leases_that_are_not_renewed_expire(self) -> None:
        ledger = self.new_ledger()
        await request(ledger, "dead", 4)
        waits = await sync(ledger, "b", [LeaseRequest("run", [0])])
        assert not waits.leases
        assert waits.retry_in is not None, "`Grant.retry_in` must name the time of the next sync"
        await asyncio.sleep(1.2 * self.lease)
        assert await request(ledger, "b", 4), (
            "a lease must expire when its holder does not renew it"
        )

    @when("expires")
    @scenario
    async def test_a_lease_renewed_after_its_expiry_counts_again(self) -> None:
        ledger = self.new_ledger()
        slept = await request(ledger, "slept", 4)
        await asyncio.sleep(1.2 * self.lease)
        assert len(await request(ledger, "b", 1)) == 1
        names = [lease.name for lease in slept]
        ended = await ledger.renew("limit", holder="slept", leases=names)
        assert sorted(ended) == sorted(names), "`renew` must return the leases that had expired"
        # Their calls are in flight, so nothing more is granted.
        assert await ledger.held("limit") == {"slept": 4, "b": 1}
        assert await request(ledger, "b", 1) == ()

    @when("expires")
    @scenario
    async def test_a_holder_that_does_not_confirm_loses_its_leases(self) -> None:
        ledger = self.new_ledger()
        first = await request(ledger, "a", 4)
        assert await request(ledger, "dead", 9) == ()
        assert await request(ledger, "b", 4) == ()
        await request(ledger, "a", 0, releases=first)
        assert len(await notified(ledger, "b")) == 2
        await sync(ledger, "b")  # confirms the leases of the notification
        assert await ledger.held("limit") == {"dead": 2, "b": 2}
        await asyncio.sleep(1.2 * ledger.confirm_seconds)
        # The leases of the dead holder expired, and the living one gets all of them.
        assert len((await sync(ledger, "b")).leases) == 2
        assert await ledger.held("limit") == {"b": 4}

    @when("expires")
    @scenario
    async def test_a_lease_received_by_reply_lives_for_the_lease_time(self) -> None:
        ledger = self.new_ledger()
        held = await request(ledger, "a", 4)
        assert await request(ledger, "b", 1) == ()
        await request(ledger, "a", 0, releases=held)
        # b syncs before it reads the notification, so it receives the lease by reply.
        assert len((await sync(ledger, "b")).leases) == 1
        await asyncio.sleep(1.2 * ledger.confirm_seconds)
        assert await ledger.held("limit") == {"b": 1}, (
            "b need not confirm what it received by reply"
        )

    @scenario
    async def test_grants_requests_up_to_the_capacity(self) -> None:
        ledger = self.new_ledger()
        first = await request(ledger, "a", 3)
        second = await request(ledger, "b", 3)
        assert (len(first), len(second)) == (3, 1)
        assert len({lease.name for lease in (*first, *second)}) == 4
        assert {lease.flow for lease in first} == {"run"}
        assert await request(ledger, "c", 1) == ()
        assert await ledger.held("limit") == {"a": 3, "b": 1}

    @scenario
    async def test_a_released_lease_is_free_in_the_same_sync(self) -> None:
        ledger = self.new_ledger()
        first = await request(ledger, "a", 4)
        assert len(await request(ledger, "a", 2, releases=first[:2])) == 2
        assert await ledger.held("limit") == {"a": 4}

    @scenario
    async def test_releasing_twice_or_an_unknown_lease_changes_nothing(self) -> None:
        ledger = self.new_ledger()
        first = await request(ledger, "a", 4)
        await request(ledger, "a", 0, releases=first[:1])
        await request(ledger, "a", 0, releases=[first[0], "1.2.3:b|run", "unknown:b", "a", ""])
        assert await ledger.held("limit") == {"a": 3}
        assert len(await request(ledger, "b", 9)) == 1

    @scenario
    async def test_any_holder_may_release_a_lease(self) -> None:
        ledger = self.new_ledger()
        first = await request(ledger, "a", 4)
        assert len(await request(ledger, "b", 9, releases=first)) == 4
        assert await ledger.held("limit") == {"b": 4}

    @scenario
    async def test_limits_are_independent(self) -> None:
        ledger = self.new_ledger()
        names = ["openai:gpt", "openai:gpt:mini", "{x}", "ä b"]
        for name in names:
            assert len(await request(ledger, "a", 4, limit=name)) == 4
        assert [await ledger.held(name) for name in names] == [{"a": 4}] * 4

    @scenario
    async def test_renewing_keeps_leases(self) -> None:
        ledger = self.new_ledger()
        held = [lease.name for lease in await request(ledger, "a", 3)]
        assert list(await ledger.renew("limit", holder="a", leases=held)) == []
        await ledger.renew("limit", holder="a", leases=["never:a", ""])
        assert await ledger.held("limit") == {"a": 3}

    @scenario
    async def test_the_lease_time_is_that_of_the_settings(self) -> None:
        ledger = self.new_ledger()
        assert ledger.lease_seconds == self.lease

    # -- order of service ----------------------------------------------------------------------

    @scenario
    async def test_a_free_permit_goes_to_the_next_waiter_of_any_holder(self) -> None:
        ledger = self.new_ledger()
        held = await request(ledger, "a", 4)
        for other in "bcd":
            assert await request(ledger, other, 1) == ()
        await request(ledger, "a", 0, releases=held)
        for other in "bcd":
            (lease,) = await notified(ledger, other)
            assert lease.flow == "run"
        assert await ledger.held("limit") == {"b": 1, "c": 1, "d": 1}

    @scenario
    async def test_a_holder_receives_each_lease_once(self) -> None:
        ledger = self.new_ledger()
        held = await request(ledger, "a", 4)
        await request(ledger, "b", 2)
        await request(ledger, "a", 0, releases=held)
        # By notification or by the reply to the next sync, whichever is first.
        names = [lease.name for lease in await notified(ledger, "b")]
        for _ in range(3):
            names += [lease.name for lease in (await sync(ledger, "b")).leases]
        assert len(names) == len(set(names)) == 2

    @scenario
    async def test_a_request_replaces_the_previous_one(self) -> None:
        ledger = self.new_ledger()
        held = await request(ledger, "a", 4)
        await request(ledger, "b", 9)
        await request(ledger, "b", 1)
        await request(ledger, "a", 0, releases=held)
        assert len(await notified(ledger, "b")) == 1
        assert await ledger.held("limit") == {"b": 1}

    @scenario
    async def test_no_permit_is_reserved_for_a_withdrawn_request(self) -> None:
        ledger = self.new_ledger()
        rich = await request(ledger, "rich", 4)
        await request(ledger, "poor", 4)
        await request(ledger, "poor", 0)
        assert len(await request(ledger, "rich", 9, releases=rich)) == 4

    @scenario
    async def test_a_new_run_gets_its_share_at_once(self) -> None:
        ledger = self.new_ledger()
        rich = await request(ledger, "rich", 20)
        assert await request(ledger, "poor", 2) == ()
        again = await request(ledger, "rich", 16, releases=rich)
        assert len(again) == 2
        assert len(await notified(ledger, "poor")) == 2

    @scenario
    async def test_runs_of_one_process_share_like_those_of_several_processes(self) -> None:
        ledger = self.new_ledger()
        held = await request(ledger, "a", 4)
        requests = [LeaseRequest(name, [0] * 9) for name in ("one", "two")]
        grant = await sync(ledger, "a", requests, releases=held)
        assert sorted(lease.flow for lease in grant.leases) == ["one", "one", "two", "two"]

    @scenario
    async def test_shares_follow_the_weights_and_count_tokens(self) -> None:
        ledger = self.new_ledger()
        held = await request(ledger, "a", 4)
        requests = [
            LeaseRequest("heavy", [100] * 99, weight=3.0),
            LeaseRequest("light", [100] * 99),
            LeaseRequest("long", [400] * 99),
        ]
        used = {"heavy": 0, "light": 0, "long": 0}
        for _ in range(25):
            grant = await sync(ledger, "a", requests, releases=held)
            requests, held = [], grant.leases
            for lease in held:
                used[lease.flow] += lease.cost
        assert abs(used["light"] - used["long"]) <= 400
        assert abs(used["heavy"] - 3 * used["light"]) <= 3 * 400

    @scenario
    async def test_the_runs_of_a_tenant_share_its_weight(self) -> None:
        ledger = self.new_ledger()
        held = await request(ledger, "a", 4)
        requests = [LeaseRequest(f"many-{n}", [10] * 60, "many") for n in range(4)]
        requests.append(LeaseRequest("one", [10] * 60, "one"))
        count = {"many": 0, "one": 0}
        for _ in range(12):
            grant = await sync(ledger, "a", requests, releases=held)
            requests, held = [], grant.leases
            for lease in held:
                count[lease.flow.partition("-")[0]] += 1
        assert abs(count["many"] - count["one"]) <= 5

    @scenario
    async def test_waiting_without_grants_ends_in_time(self) -> None:
        ledger = self.new_ledger()
        await request(ledger, "a", 4)
        await request(ledger, "b", 1)
        loop = asyncio.get_running_loop()
        since = loop.time()
        assert await ledger.wait_for_grants("limit", holder="b", seconds=0.2) == ()
        assert loop.time() - since >= 0.19

    # -- quotas per minute ---------------------------------------------------------------------

    @scenario
    async def test_no_more_requests_than_the_quota(self) -> None:
        ledger = self.new_ledger()
        grant = await sync(ledger, "a", [LeaseRequest("run", [5] * 9)], quota=Quota(requests=1))
        assert len(grant.leases) == 1
        assert grant.reason == "requests"
        assert grant.retry_in is not None
        assert 50 < grant.retry_in < 62, "a request must leave the window after a minute"
        assert (grant.use.requests, grant.use.request_quota) == (1, 1)
        # The end of its call does not make room.
        assert await request(ledger, "a", 9, releases=grant.leases, quota=Quota(requests=1)) == ()

    @scenario
    async def test_no_more_tokens_than_the_quota(self) -> None:
        ledger = self.new_ledger()
        quota = Quota(tokens=100)
        grant = await sync(ledger, "a", [LeaseRequest("run", [60] * 9)], quota=quota)
        assert [lease.cost for lease in grant.leases] == [60]
        assert grant.reason == "tokens"
        assert (grant.use.tokens, grant.use.token_quota) == (60, 100)
        # It used fewer tokens than reserved. So there is room for one more, but not at once.
        back = [LeaseRelease(grant.leases[0].name, tokens=40)]
        again = await sync(ledger, "a", releases=back, quota=quota)
        assert (again.leases, again.reason, again.use.tokens) == ((), "pace", 40)
        assert again.retry_in is not None
        assert again.retry_in < 24

    @scenario
    async def test_tokens_beyond_the_reservation_are_counted(self) -> None:
        ledger = self.new_ledger()
        quota = Quota(tokens=100)
        (lease,) = await request(ledger, "a", 1, cost=10, quota=quota)
        grant = await sync(ledger, "a", releases=[LeaseRelease(lease.name, 95)], quota=quota)
        assert grant.use.tokens == 95

    @scenario
    async def test_a_call_that_the_provider_did_not_count_is_refunded(self) -> None:
        ledger = self.new_ledger()
        quota = Quota(tokens=100, requests=9)
        (lease,) = await request(ledger, "a", 1, cost=100, quota=quota)
        back = [LeaseRelease(lease.name, tokens=0)]
        grant = await sync(ledger, "a", releases=back, quota=quota)
        assert (grant.use.tokens, grant.use.requests) == (0, 0)

    @scenario
    async def test_calls_are_spread_over_the_minute(self) -> None:
        ledger = self.new_ledger()
        grant = await sync(ledger, "a", [LeaseRequest("run", [1] * 99)], quota=Quota(requests=60))
        assert 1 <= len(grant.leases) <= 4
        assert grant.reason == "pace"
        assert grant.retry_in is not None
        assert grant.retry_in < 2

    # -- refusals and headers ------------------------------------------------------------------

    @scenario
    async def test_a_refusal_pauses_all_holders(self) -> None:
        ledger = self.new_ledger()
        (lease,) = await request(ledger, "a", 1)
        await request(
            ledger, "a", 0, releases=[LeaseRelease(lease.name, 0, refused=True, retry_after=30.0)]
        )
        grant = await sync(ledger, "b", [LeaseRequest("run", [0])])
        assert (grant.leases, grant.reason) == ((), "refused")
        assert grant.retry_in is not None
        assert 25 < grant.retry_in <= 30.0

    @scenario
    async def test_a_burst_of_refusals_makes_one_pause(self) -> None:
        ledger = self.new_ledger()
        leases = await request(ledger, "a", 4)
        waits: list[float] = []
        for lease in leases:
            back = [LeaseRelease(lease.name, 0, refused=True)]
            grant = await sync(ledger, "a", [LeaseRequest("run", [0])], releases=back)
            assert grant.retry_in is not None
            waits.append(grant.retry_in)
        assert max(waits) <= 1.5, "only the first refusal of a burst may start a pause"

    @scenario
    async def test_a_lower_quota_in_the_headers_applies_to_all_holders(self) -> None:
        ledger = self.new_ledger()
        quota = Quota(requests=1000)
        (lease,) = await request(ledger, "a", 1, quota=quota)
        info = RateLimitInfo(requests=1, requests_left=0, tokens=50, tokens_left=40)
        back = [LeaseRelease(lease.name, rate_limit_info=info)]
        await sync(ledger, "a", releases=back, quota=quota)
        grant = await sync(ledger, "b", [LeaseRequest("run", [9])], quota=quota)
        assert (grant.leases, grant.reason) == ((), "requests")
        assert grant.use.request_quota == 1
        assert grant.use.token_quota is None, (
            "headers must not limit tokens if no token quota is set"
        )

    @scenario
    async def test_the_use_of_other_clients_is_counted(self) -> None:
        ledger = self.new_ledger()
        quota = Quota(tokens=1000)
        (lease,) = await request(ledger, "a", 1, cost=100, quota=quota)
        info = RateLimitInfo(tokens=1000, tokens_left=100)
        back = [LeaseRelease(lease.name, rate_limit_info=info)]
        grant = await sync(ledger, "a", releases=back, quota=quota)
        assert grant.use.tokens == 900

    # -- shared counters -----------------------------------------------------------------------

    @scenario
    async def test_counts_of_all_holders_are_summed(self) -> None:
        ledger = self.new_ledger()
        first = await ledger.add_counts("limit", {"calls": 2.0, "seconds": 0.25})
        assert (first.version, first.state) == (0, "")
        second = await ledger.add_counts("limit", {"calls": 3.0, "refused": 1.0})
        assert second.totals == {"calls": 5.0, "seconds": 0.25, "refused": 1.0}
        assert (await ledger.add_counts("limit", {})).totals == second.totals
        assert second.now >= first.now

    @scenario
    async def test_a_decision_applies_to_all_and_resets_the_sums(self) -> None:
        ledger = self.new_ledger()
        await ledger.add_counts("limit", {"calls": 2.0})
        assert await ledger.commit_decision("limit", version=0, state='{"limit": "ä"}')
        counters = await ledger.add_counts("limit", {"calls": 1.0})
        assert (counters.version, counters.state) == (1, '{"limit": "ä"}')
        assert counters.totals == {"calls": 1.0}
        await asyncio.sleep(0.2)
        assert 0.1 < (await ledger.add_counts("limit", {})).seconds < self.lease

    @scenario
    async def test_of_two_decisions_about_the_same_counters_the_first_wins(self) -> None:
        ledger = self.new_ledger()
        first = await ledger.add_counts("limit", {"calls": 1.0})
        second = await ledger.add_counts("limit", {"calls": 1.0})
        assert await ledger.commit_decision("limit", version=second.version, state="second")
        await ledger.add_counts("limit", {"calls": 4.0})
        assert not await ledger.commit_decision("limit", version=first.version, state="first")
        counters = await ledger.add_counts("limit", {})
        assert (counters.version, counters.state, counters.totals) == (1, "second", {"calls": 4.0})

    @scenario
    async def test_a_holder_that_dies_before_its_decision_loses_no_counts(self) -> None:
        ledger = self.new_ledger()
        await ledger.add_counts("limit", {"calls": 1.0})
        assert await ledger.commit_decision("limit", version=0, state="found")
        await ledger.add_counts("limit", {"calls": 2.0})  # this holder dies before its decision
        counters = await ledger.add_counts("limit", {"calls": 1.0})
        assert (counters.state, counters.totals) == ("found", {"calls": 3.0})

    @scenario
    async def test_counters_and_leases_of_limits_are_independent(self) -> None:
        ledger = self.new_ledger()
        await ledger.add_counts("one", {"calls": 1.0})
        assert await ledger.commit_decision("one", version=0, state="one")
        assert (await ledger.add_counts("two", {})).totals == {}
        assert len(await request(ledger, "a", 9, limit="one")) == 4
        assert (await ledger.add_counts("one", {})).state == "one"
