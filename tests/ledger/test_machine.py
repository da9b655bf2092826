"""Random sequences of calls to one limit, in a lease table and in Redis side by side."""

import asyncio
import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import cast

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from paceline.admission.lease_table import LeaseTable, SyncResult
from paceline.contracts.admission.ledger import Lease, LeaseRelease, LeaseRequest, Quota
from paceline.contracts.admission.work import RateLimitInfo
from paceline_adapters.redis.connection import Script
from paceline_adapters.redis.ledger import LEDGER, RedisLedger

from tests.support.redis_ledgers import link_to

HOLDERS = ["a", "b", "c"]
LEASE, CONFIRM = 30_000, 5_000
START = 1_700_000_000_000

#: The script with a clock that the test sets. Nothing else of it is changed.
CLOCK = "redis.call('HMGET', 'clock', 'seconds', 'micros')"
SCRIPT = Script(LEDGER.text.replace("call('TIME')", CLOCK))

#: Explaining a failure traces every line, also those of the loop that waits for the server.
NO_EXPLAIN = [phase for phase in Phase if phase is not Phase.explain]

quotas = st.builds(
    Quota,
    concurrency=st.none() | st.integers(1, 6),
    requests=st.none() | st.integers(1, 200),
    tokens=st.none() | st.integers(1, 5_000),
    follow=st.booleans(),
    version=st.sampled_from([0, 0, 1, 2, 3, START]),
)
lease_requests = st.builds(
    LeaseRequest,
    flow=st.sampled_from(["one", "two", "three"]),
    costs=st.lists(st.integers(0, 900), max_size=5),
    tenant=st.sampled_from(["", "", "first", "second"]),
    weight=st.sampled_from([1.0, 0.3, 7.0]),
    points=st.sampled_from([1, 16, 16, 256]),
)
rate_limit_infos = st.builds(
    RateLimitInfo,
    requests=st.none() | st.integers(1, 300),
    requests_left=st.none() | st.integers(0, 50),
    tokens=st.none() | st.integers(1, 6_000),
    tokens_left=st.none() | st.integers(0, 1_000),
)
#: The release of a lease, without its name.
releases_of_calls = st.builds(
    LeaseRelease,
    lease=st.just(""),
    tokens=st.sampled_from([None, None, 0, 1, 100, 2_000]),
    refused=st.sampled_from([False, False, False, True]),
    retry_after=st.none() | st.floats(0, 20),
    rate_limit_info=st.none() | rate_limit_infos,
)


@dataclass
class Limit:
    """One limit in two places, which get the same calls."""

    table: LeaseTable
    shared: RedisLedger
    limit: str
    now: int = START
    clock: int = START  # the server's, which may be set back
    #: Per holder: the leases that it holds, and the numbers that it has not confirmed.
    held: defaultdict[str, list[Lease]] = field(default_factory=lambda: defaultdict(list))
    unconfirmed: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


class SideBySide(RuleBasedStateMachine):
    """Holders that sync, renew, fall silent and return, while time passes."""

    def __init__(self, one: Limit, runner: asyncio.Runner) -> None:
        super().__init__()
        self.one, self.runner = one, runner
        self.set_clock()
        self.runner.run(self.one.shared._join(self.one.limit))
        # In Redis the numbers of leases begin at the time of the epoch, so here too.
        self.one.table._number = START * 1000

    def set_clock(self) -> None:
        """Set the server's clock."""
        seconds, millis = divmod(self.one.clock, 1000)
        clock = ("seconds", seconds, "micros", 1000 * millis)
        self.runner.run(self.one.shared._link.execute("HSET", "clock", *clock))

    @rule(
        holder=st.sampled_from(HOLDERS),
        quota=quotas,
        some=st.lists(lease_requests, max_size=3, unique_by=lambda one: one.flow),
        ends=st.lists(releases_of_calls, max_size=4),
        confirms_none=st.booleans(),
    )
    def sync(
        self,
        holder: str,
        quota: Quota,
        some: list[LeaseRequest],
        ends: list[LeaseRelease],
        confirms_none: bool,
    ) -> None:
        """A holder releases, requests, and confirms its leases or none of them."""
        one = self.one
        mine = one.held[holder]
        back = [
            LeaseRelease(lease.name, end.tokens, end.refused, end.retry_after, end.rate_limit_info)
            for lease, end in zip(list(mine), ends, strict=False)
        ]
        del mine[: len(back)]
        confirmed = [] if confirms_none else one.unconfirmed[holder]
        answer = one.table.sync(
            one.now, quota=quota, holder=holder, requests=some, releases=back, confirmed=confirmed
        )
        # The inbox confirms the same leases to Redis as above to the table.
        inbox = one.shared._inboxes[one.limit, holder]
        inbox.take()
        inbox._unconfirmed = dict.fromkeys(confirmed)
        grant = self.runner.run(
            one.shared.sync(one.limit, quota=quota, holder=holder, requests=some, releases=back)
        )
        self.compare(answer, inbox._unconfirmed.keys(), grant.retry_in)
        assert grant.reason == answer.reason
        assert grant.use == answer.use
        assert grant.unknown_holder == answer.unknown_holder
        known = {lease.name for lease in mine}
        known |= {one.lease for one in back}
        fresh = [lease for lease in answer.leases if lease.name not in known]
        mine += fresh
        one.unconfirmed[holder] = [int(lease.name.partition(".")[0]) for lease in answer.leases]

    def compare(
        self, answer: SyncResult, numbers_there: "set[int] | object", retry_in: float | None
    ) -> None:
        """Both granted the same leases, and name the same time of the next sync."""
        numbers = [int(lease.name.partition(".")[0]) for lease in answer.leases]
        assert sorted(cast("set[int]", numbers_there)) == sorted(numbers)
        ends = answer.retry_in
        assert retry_in == (None if ends is None else ends / 1000)

    @rule(holder=st.sampled_from(HOLDERS), some=st.integers(0, 4))
    def renew(self, holder: str, some: int) -> None:
        """A holder renews some of its leases, expired ones included."""
        one = self.one
        names = [lease.name for lease in one.held[holder][:some]] + ["unknown"]
        ended = one.table.renew(one.now, holder=holder, leases=names)
        there = self.runner.run(one.shared.renew(one.limit, holder=holder, leases=names))
        assert list(there) == ended

    @rule(millis=st.sampled_from([1, 40, 300, 500, 1_700, 6_000, 29_000, 61_000, 200_000]))
    def time_passes(self, millis: int) -> None:
        """Time passes."""
        self.one.now += millis
        self.one.clock += millis
        self.set_clock()

    @rule(millis=st.sampled_from([1, 5_000, 3_600_000]))
    def the_clock_is_set_back(self, millis: int) -> None:
        """The ledger's time continues from its last value."""
        self.one.clock -= millis
        self.set_clock()

    @invariant()
    def both_have_the_same_leases(self) -> None:
        one = self.one
        there = self.runner.run(one.shared.held(one.limit))
        assert there == one.table.held(one.now)


def test_redis_does_the_same_as_a_lease_table(redis_url: str) -> None:
    numbers = itertools.count()
    with asyncio.Runner() as runner:
        shared = RedisLedger(
            link_to(redis_url),
            prefix="test",
            lease_seconds=LEASE / 1000,
            settle_in=0.0,
            script=SCRIPT,
        )

        def one() -> SideBySide:
            table = LeaseTable(lease=LEASE, confirm=CONFIRM)
            one = Limit(table, shared, f"limit-{next(numbers)}")
            return SideBySide(one, runner)

        try:
            run_state_machine_as_test(
                cast("type[SideBySide]", one),
                settings=settings(
                    max_examples=60, stateful_step_count=40, deadline=None, phases=NO_EXPLAIN
                ),
            )
        finally:
            runner.run(shared.close())
