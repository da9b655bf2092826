"""What every ledger promises: never more than the quota, and fair shares of it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from paceline.contracts.ledger import Grant, Lease, LeaseRelease, LeaseRequest, Ledger, Quota
from paceline.contracts.work import RateLimitInfo
from paceline.testing.contracts.contract import Contract, when

T = TypeVar("T")

FOUR = Quota(concurrency=4)


async def ask(
    ledger: Ledger,
    holder: str,
    wanted: int,
    *,
    flow: str = "run",
    cost: int = 0,
    weight: float = 1.0,
    tenant: str = "",
    settle: Iterable[Lease | str | LeaseRelease] = (),
    quota: Quota = FOUR,
    limit: str = "limit",
) -> tuple[Lease, ...]:
    """Exchange, for the leases granted."""
    grant = await sync(
        ledger,
        holder,
        [LeaseRequest(flow, [cost] * wanted, tenant, weight)],
        settle=settle,
        quota=quota,
        limit=limit,
    )
    return grant.leases


async def sync(
    ledger: Ledger,
    holder: str,
    asks: Sequence[LeaseRequest] = (),
    *,
    settle: Iterable[Lease | str | LeaseRelease] = (),
    quota: Quota = FOUR,
    limit: str = "limit",
) -> Grant:
    """Exchange, for all that comes of it."""
    return await ledger.sync(
        limit, quota=quota, holder=holder, asks=asks, settled=[_settled(one) for one in settle]
    )


def _settled(one: Lease | str | LeaseRelease) -> LeaseRelease:
    if isinstance(one, LeaseRelease):
        return one
    return LeaseRelease(one.name if isinstance(one, Lease) else one)


async def told(ledger: Ledger, holder: str, *, limit: str = "limit") -> tuple[Lease, ...]:
    """What a holder hears of leases that others' exchanges brought it."""
    return await ledger.changed(limit, holder=holder, seconds=10)


class LedgerContract(Contract):
    """Inherit it, and make a ledger.

    Declare:
        lease: the lease time of the ledger that you make, in seconds.
        expires: whether leases end when they are not renewed; make the lease short where time
            is real.
    """

    lease: ClassVar[float] = 30.0
    expires: ClassVar[bool] = True

    def ledger(self) -> Ledger:
        """Make your ledger, empty; called on the event loop."""
        raise NotImplementedError(f"{type(self).__name__}.ledger() makes the ledger to test")

    def on_a_ledger(self, scenario: Callable[[Ledger], Coroutine[Any, Any, T]]) -> T:
        """Run a scenario on a new ledger, closed in the end."""

        async def with_ledger() -> T:
            ledger = self.ledger()
            self.opened.push_async_callback(ledger.close)
            return await scenario(ledger)

        return self.play(with_ledger())

    # -- boards ----------------------------------------------------------------------------

    def test_what_holders_count_is_summed_until_somebody_concludes(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            await ledger.note("limit", {"calls": 2.0, "seconds": 0.5})
            board = await ledger.note("limit", {"calls": 3.0})
            assert (board.serial, board.state) == (0, "")
            assert board.totals == {"calls": 5.0, "seconds": 0.5}
            assert await ledger.conclude("limit", serial=0, state='{"limit": 7}')
            assert not await ledger.conclude("limit", serial=0, state="late"), (
                "who concludes from sums that somebody else concluded from must be told"
            )
            after = await ledger.note("limit", {})
            assert (after.serial, after.state, after.totals) == (1, '{"limit": 7}', {})
            assert 0 <= after.seconds <= after.now - board.now + board.seconds + 1
            assert (await ledger.note("other", {})).serial == 0

        self.on_a_ledger(scenario)

    # -- leases ----------------------------------------------------------------------------

    @when("expires")
    def test_leases_that_nobody_renews_end(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            await ask(ledger, "dead", 4)
            waits = await sync(ledger, "b", [LeaseRequest("run", [0])])
            assert not waits.leases
            assert waits.expires_in is not None, "say when to ask again, in `Grant.expires_in`"
            await asyncio.sleep(1.2 * self.lease)
            assert await ask(ledger, "b", 4), "a lease must end when its holder does not renew it"

        self.on_a_ledger(scenario)

    @when("expires")
    def test_a_lease_that_is_renewed_after_its_end_counts_again(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            slept = await ask(ledger, "slept", 4)
            await asyncio.sleep(1.2 * self.lease)
            assert len(await ask(ledger, "b", 1)) == 1
            names = [lease.name for lease in slept]
            ended = await ledger.renew("limit", holder="slept", leases=names)
            assert sorted(ended) == sorted(names), "tell which leases had ended"
            # Their calls are out, whatever the limit says: nobody gets more.
            assert await ledger.held("limit") == {"slept": 4, "b": 1}
            assert await ask(ledger, "b", 1) == ()

        self.on_a_ledger(scenario)

    @when("expires")
    def test_who_does_not_answer_is_passed_over(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            first = await ask(ledger, "a", 4)
            assert await ask(ledger, "dead", 9) == ()
            assert await ask(ledger, "b", 4) == ()
            await ask(ledger, "a", 0, settle=first)
            assert len(await told(ledger, "b")) == 2
            await sync(ledger, "b")  # it confirms what it heard of
            assert await ledger.held("limit") == {"dead": 2, "b": 2}
            await asyncio.sleep(1.2 * ledger.confirm_seconds)
            # What went to the dead is back, and all of it goes to who is there.
            assert len((await sync(ledger, "b")).leases) == 2
            assert await ledger.held("limit") == {"b": 4}

        self.on_a_ledger(scenario)

    @when("expires")
    def test_a_lease_that_an_answer_tells_of_lives_for_the_lease_time(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = await ask(ledger, "a", 4)
            assert await ask(ledger, "b", 1) == ()
            await ask(ledger, "a", 0, settle=held)
            # Before the message is read, b asks; so the answer is what tells it.
            assert len((await sync(ledger, "b")).leases) == 1
            await asyncio.sleep(1.2 * ledger.confirm_seconds)
            assert await ledger.held("limit") == {"b": 1}, "b need not confirm what it was answered"

        self.on_a_ledger(scenario)

    def test_grants_what_is_wanted_up_to_the_capacity(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            first = await ask(ledger, "a", 3)
            second = await ask(ledger, "b", 3)
            assert (len(first), len(second)) == (3, 1)
            assert len({lease.name for lease in (*first, *second)}) == 4
            assert {lease.flow for lease in first} == {"run"}
            assert await ask(ledger, "c", 1) == ()
            assert await ledger.held("limit") == {"a": 3, "b": 1}

        self.on_a_ledger(scenario)

    def test_what_is_given_back_can_be_had_in_the_same_step(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            first = await ask(ledger, "a", 4)
            assert len(await ask(ledger, "a", 2, settle=first[:2])) == 2
            assert await ledger.held("limit") == {"a": 4}

        self.on_a_ledger(scenario)

    def test_giving_back_twice_or_what_never_was_changes_nothing(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            first = await ask(ledger, "a", 4)
            await ask(ledger, "a", 0, settle=first[:1])
            await ask(ledger, "a", 0, settle=[first[0], "1.2.3:b|run", "nobody's:b", "a", ""])
            assert await ledger.held("limit") == {"a": 3}
            assert len(await ask(ledger, "b", 9)) == 1

        self.on_a_ledger(scenario)

    def test_anybody_may_give_back_a_lease(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            first = await ask(ledger, "a", 4)
            assert len(await ask(ledger, "b", 9, settle=first)) == 4
            assert await ledger.held("limit") == {"b": 4}

        self.on_a_ledger(scenario)

    def test_limits_know_nothing_of_each_other(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            names = ["openai:gpt", "openai:gpt:mini", "{x}", "ä b"]
            for name in names:
                assert len(await ask(ledger, "a", 4, limit=name)) == 4
            assert [await ledger.held(name) for name in names] == [{"a": 4}] * 4

        self.on_a_ledger(scenario)

    def test_renewing_keeps_what_is_held(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = [lease.name for lease in await ask(ledger, "a", 3)]
            assert list(await ledger.renew("limit", holder="a", leases=held)) == []
            await ledger.renew("limit", holder="a", leases=["never:a", ""])
            assert await ledger.held("limit") == {"a": 3}

        self.on_a_ledger(scenario)

    def test_leases_say_how_long_they_live(self) -> None:
        async def scenario(ledger: Ledger) -> float:
            return ledger.lease_seconds

        assert self.on_a_ledger(scenario) == self.lease

    # -- who is next -----------------------------------------------------------------------

    def test_what_becomes_free_goes_to_who_is_next_whosever_it_is(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = await ask(ledger, "a", 4)
            for other in "bcd":
                assert await ask(ledger, other, 1) == ()
            await ask(ledger, "a", 0, settle=held)
            for other in "bcd":
                (lease,) = await told(ledger, other)
                assert lease.flow == "run"
            assert await ledger.held("limit") == {"b": 1, "c": 1, "d": 1}

        self.on_a_ledger(scenario)

    def test_who_is_told_of_a_lease_is_told_once(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = await ask(ledger, "a", 4)
            await ask(ledger, "b", 2)
            await ask(ledger, "a", 0, settle=held)
            # By message or by the answer to the next question, whichever comes first.
            names = [lease.name for lease in await told(ledger, "b")]
            for _ in range(3):
                names += [lease.name for lease in (await sync(ledger, "b")).leases]
            assert len(names) == len(set(names)) == 2

        self.on_a_ledger(scenario)

    def test_what_is_asked_for_replaces_what_was(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = await ask(ledger, "a", 4)
            await ask(ledger, "b", 9)
            await ask(ledger, "b", 1)
            await ask(ledger, "a", 0, settle=held)
            assert len(await told(ledger, "b")) == 1
            assert await ledger.held("limit") == {"b": 1}

        self.on_a_ledger(scenario)

    def test_nothing_stays_free_for_who_wants_nothing_any_more(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            rich = await ask(ledger, "rich", 4)
            await ask(ledger, "poor", 4)
            await ask(ledger, "poor", 0)
            assert len(await ask(ledger, "rich", 9, settle=rich)) == 4

        self.on_a_ledger(scenario)

    def test_a_run_that_came_later_gets_its_share_at_once(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            rich = await ask(ledger, "rich", 20)
            assert await ask(ledger, "poor", 2) == ()
            again = await ask(ledger, "rich", 16, settle=rich)
            assert len(again) == 2
            assert len(await told(ledger, "poor")) == 2

        self.on_a_ledger(scenario)

    def test_runs_of_one_process_share_like_those_of_several(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = await ask(ledger, "a", 4)
            asks = [LeaseRequest(name, [0] * 9) for name in ("one", "two")]
            grant = await sync(ledger, "a", asks, settle=held)
            assert sorted(lease.flow for lease in grant.leases) == ["one", "one", "two", "two"]

        self.on_a_ledger(scenario)

    def test_shares_follow_the_weights_and_count_tokens(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = await ask(ledger, "a", 4)
            asks = [
                LeaseRequest("heavy", [100] * 99, weight=3.0),
                LeaseRequest("light", [100] * 99),
                LeaseRequest("long", [400] * 99),
            ]
            used = {"heavy": 0, "light": 0, "long": 0}
            for _ in range(25):
                grant = await sync(ledger, "a", asks, settle=held)
                asks, held = [], grant.leases
                for lease in held:
                    used[lease.flow] += lease.cost
            assert abs(used["light"] - used["long"]) <= 400
            assert abs(used["heavy"] - 3 * used["light"]) <= 3 * 400

        self.on_a_ledger(scenario)

    def test_the_runs_of_a_tenant_share_its_weight(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = await ask(ledger, "a", 4)
            asks = [LeaseRequest(f"many-{n}", [10] * 60, "many") for n in range(4)]
            asks.append(LeaseRequest("one", [10] * 60, "one"))
            count = {"many": 0, "one": 0}
            for _ in range(12):
                grant = await sync(ledger, "a", asks, settle=held)
                asks, held = [], grant.leases
                for lease in held:
                    count[lease.flow.partition("-")[0]] += 1
            assert abs(count["many"] - count["one"]) <= 5

        self.on_a_ledger(scenario)

    def test_a_wait_without_a_change_ends_in_time(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            await ask(ledger, "a", 4)
            await ask(ledger, "b", 1)
            loop = asyncio.get_running_loop()
            since = loop.time()
            assert await ledger.changed("limit", holder="b", seconds=0.2) == ()
            assert loop.time() - since >= 0.19

        self.on_a_ledger(scenario)

    # -- what may be used in a minute ------------------------------------------------------

    def test_no_more_requests_than_the_quota(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            grant = await sync(ledger, "a", [LeaseRequest("run", [5] * 9)], quota=Quota(requests=1))
            assert len(grant.leases) == 1
            assert grant.reason == "requests"
            assert grant.expires_in is not None
            assert 50 < grant.expires_in < 62, "a request leaves the window after a minute"
            assert (grant.use.requests, grant.use.request_quota) == (1, 1)
            # That its call is over makes no room.
            assert await ask(ledger, "a", 9, settle=grant.leases, quota=Quota(requests=1)) == ()

        self.on_a_ledger(scenario)

    def test_no_more_tokens_than_the_quota(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            quota = Quota(tokens=100)
            grant = await sync(ledger, "a", [LeaseRequest("run", [60] * 9)], quota=quota)
            assert [lease.cost for lease in grant.leases] == [60]
            assert grant.reason == "tokens"
            assert (grant.use.tokens, grant.use.token_quota) == (60, 100)
            # It used less in truth: there would be room for one more, only not at once.
            back = [LeaseRelease(grant.leases[0].name, tokens=40)]
            again = await sync(ledger, "a", settle=back, quota=quota)
            assert (again.leases, again.reason, again.use.tokens) == ((), "pace", 40)
            assert again.expires_in is not None
            assert again.expires_in < 24

        self.on_a_ledger(scenario)

    def test_what_used_more_than_reserved_is_counted(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            quota = Quota(tokens=100)
            (lease,) = await ask(ledger, "a", 1, cost=10, quota=quota)
            grant = await sync(ledger, "a", settle=[LeaseRelease(lease.name, 95)], quota=quota)
            assert grant.use.tokens == 95

        self.on_a_ledger(scenario)

    def test_what_the_provider_did_not_count_is_refunded(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            quota = Quota(tokens=100, requests=9)
            (lease,) = await ask(ledger, "a", 1, cost=100, quota=quota)
            back = [LeaseRelease(lease.name, tokens=0)]
            grant = await sync(ledger, "a", settle=back, quota=quota)
            assert (grant.use.tokens, grant.use.requests) == (0, 0)

        self.on_a_ledger(scenario)

    def test_calls_are_spread_over_the_minute(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            grant = await sync(
                ledger, "a", [LeaseRequest("run", [1] * 99)], quota=Quota(requests=60)
            )
            assert 1 <= len(grant.leases) <= 4
            assert grant.reason == "pace"
            assert grant.expires_in is not None
            assert grant.expires_in < 2

        self.on_a_ledger(scenario)

    # -- what the provider says ------------------------------------------------------------

    def test_a_refusal_holds_back_everybody(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            (lease,) = await ask(ledger, "a", 1)
            await ask(
                ledger, "a", 0, settle=[LeaseRelease(lease.name, 0, refused=True, retry_after=30.0)]
            )
            grant = await sync(ledger, "b", [LeaseRequest("run", [0])])
            assert (grant.leases, grant.reason) == ((), "refused")
            assert grant.expires_in is not None
            assert 25 < grant.expires_in <= 30.0

        self.on_a_ledger(scenario)

    def test_a_burst_of_refusals_is_one(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            leases = await ask(ledger, "a", 4)
            waits: list[float] = []
            for lease in leases:
                back = [LeaseRelease(lease.name, 0, refused=True)]
                grant = await sync(ledger, "a", [LeaseRequest("run", [0])], settle=back)
                assert grant.expires_in is not None
                waits.append(grant.expires_in)
            assert max(waits) <= 1.5, "only the first refusal of a burst makes a pause"

        self.on_a_ledger(scenario)

    def test_a_lower_quota_that_the_provider_names_holds_for_everybody(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            quota = Quota(requests=1000)
            (lease,) = await ask(ledger, "a", 1, quota=quota)
            said = RateLimitInfo(requests=1, requests_left=0, tokens=50, tokens_left=40)
            back = [LeaseRelease(lease.name, rate_limit_info=said)]
            await sync(ledger, "a", settle=back, quota=quota)
            grant = await sync(ledger, "b", [LeaseRequest("run", [9])], quota=quota)
            assert (grant.leases, grant.reason) == ((), "requests")
            assert grant.use.request_quota == 1
            assert grant.use.token_quota is None, "what nobody limits, headers do not limit either"

        self.on_a_ledger(scenario)

    def test_what_others_use_of_the_quota_is_counted(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            quota = Quota(tokens=1000)
            (lease,) = await ask(ledger, "a", 1, cost=100, quota=quota)
            said = RateLimitInfo(tokens=1000, tokens_left=100)
            back = [LeaseRelease(lease.name, rate_limit_info=said)]
            grant = await sync(ledger, "a", settle=back, quota=quota)
            assert grant.use.tokens == 900

        self.on_a_ledger(scenario)

    # -- what all find out together --------------------------------------------------------

    def test_what_holders_count_is_added_up(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            first = await ledger.note("limit", {"calls": 2.0, "seconds": 0.25})
            assert (first.serial, first.state) == (0, "")
            second = await ledger.note("limit", {"calls": 3.0, "refused": 1.0})
            assert second.totals == {"calls": 5.0, "seconds": 0.25, "refused": 1.0}
            assert (await ledger.note("limit", {})).totals == second.totals
            assert second.now >= first.now

        self.on_a_ledger(scenario)

    def test_a_conclusion_is_everybodys_and_counting_begins_anew(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            await ledger.note("limit", {"calls": 2.0})
            assert await ledger.conclude("limit", serial=0, state='{"limit": "ä"}')
            board = await ledger.note("limit", {"calls": 1.0})
            assert (board.serial, board.state) == (1, '{"limit": "ä"}')
            assert board.totals == {"calls": 1.0}
            await asyncio.sleep(0.2)
            assert 0.1 < (await ledger.note("limit", {})).seconds < self.lease

        self.on_a_ledger(scenario)

    def test_of_two_conclusions_from_one_board_the_first_counts(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            first = await ledger.note("limit", {"calls": 1.0})
            second = await ledger.note("limit", {"calls": 1.0})
            assert await ledger.conclude("limit", serial=second.serial, state="second")
            await ledger.note("limit", {"calls": 4.0})
            assert not await ledger.conclude("limit", serial=first.serial, state="first")
            board = await ledger.note("limit", {})
            assert (board.serial, board.state, board.totals) == (1, "second", {"calls": 4.0})

        self.on_a_ledger(scenario)

    def test_who_reads_and_dies_takes_nothing_along(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            await ledger.note("limit", {"calls": 1.0})
            assert await ledger.conclude("limit", serial=0, state="found")
            await ledger.note("limit", {"calls": 2.0})  # it was to conclude, and did not
            board = await ledger.note("limit", {"calls": 1.0})
            assert (board.state, board.totals) == ("found", {"calls": 3.0})

        self.on_a_ledger(scenario)

    def test_boards_of_limits_and_their_leases_know_nothing_of_each_other(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            await ledger.note("one", {"calls": 1.0})
            assert await ledger.conclude("one", serial=0, state="one")
            assert (await ledger.note("two", {})).totals == {}
            assert len(await ask(ledger, "a", 9, limit="one")) == 4
            assert (await ledger.note("one", {})).state == "one"

        self.on_a_ledger(scenario)
