"""Random lives of a limit, in the books of a process and in Redis side by side."""

import asyncio
import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import cast

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from paceline.admission.lease_table import Answer, Book
from paceline.contracts.ledger import Lease, LeaseRelease, LeaseRequest, Quota
from paceline.contracts.work import RateLimitInfo
from paceline_adapters.redis.connection import Script
from paceline_adapters.redis.ledger import LEDGER, RedisLedger

from tests.support.redis_ledgers import link_to

HOLDERS = ["a", "b", "c"]
LEASE, CONFIRM = 30_000, 5_000
START = 1_700_000_000_000

#: The script with a clock that the test sets, which is all that is changed of it.
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
)
asks = st.builds(
    LeaseRequest,
    flow=st.sampled_from(["one", "two", "three"]),
    costs=st.lists(st.integers(0, 900), max_size=5),
    tenant=st.sampled_from(["", "", "first", "second"]),
    weight=st.sampled_from([1.0, 0.3, 7.0]),
)
headrooms = st.builds(
    RateLimitInfo,
    requests=st.none() | st.integers(1, 300),
    requests_left=st.none() | st.integers(0, 50),
    tokens=st.none() | st.integers(1, 6_000),
    tokens_left=st.none() | st.integers(0, 1_000),
)
#: How a call ends; ``Settled`` without its lease.
endings = st.builds(
    LeaseRelease,
    lease=st.just(""),
    tokens=st.sampled_from([None, None, 0, 1, 100, 2_000]),
    refused=st.sampled_from([False, False, False, True]),
    retry_after=st.none() | st.floats(0, 20),
    rate_limit_info=st.none() | headrooms,
)


@dataclass
class Life:
    """One limit, told the same things in two places."""

    book: Book
    shared: RedisLedger
    limit: str
    now: int = START
    clock: int = START  # the server's, which may be set back
    #: Per holder: what it was told of and holds, and numbers that it has not confirmed.
    held: defaultdict[str, list[Lease]] = field(default_factory=lambda: defaultdict(list))
    unconfirmed: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


class SideBySide(RuleBasedStateMachine):
    """Holders that ask, give back, renew, fall silent and come back; and time that passes."""

    def __init__(self, life: Life, runner: asyncio.Runner) -> None:
        super().__init__()
        self.life, self.runner = life, runner
        self.set_clock()
        self.runner.run(self.life.shared._join(self.life.limit))
        # The numbers of leases begin at the epoch's time there; here they begin so too.
        self.life.book._number = START * 1000

    def set_clock(self) -> None:
        """Set the server's clock."""
        seconds, millis = divmod(self.life.clock, 1000)
        clock = ("seconds", seconds, "micros", 1000 * millis)
        self.runner.run(self.life.shared._link.ask("HSET", "clock", *clock))

    @rule(
        holder=st.sampled_from(HOLDERS),
        quota=quotas,
        some=st.lists(asks, max_size=3, unique_by=lambda ask: ask.flow),
        ends=st.lists(endings, max_size=4),
        deaf=st.booleans(),
    )
    def sync(
        self,
        holder: str,
        quota: Quota,
        some: list[LeaseRequest],
        ends: list[LeaseRelease],
        deaf: bool,
    ) -> None:
        """A holder asks, gives back, and confirms what it heard, if it did."""
        life = self.life
        mine = life.held[holder]
        back = [
            LeaseRelease(lease.name, end.tokens, end.refused, end.retry_after, end.rate_limit_info)
            for lease, end in zip(list(mine), ends, strict=False)
        ]
        del mine[: len(back)]
        heard = [] if deaf else life.unconfirmed[holder]
        answer = life.book.sync(
            life.now, quota=quota, holder=holder, asks=some, settled=back, heard=heard
        )
        # The same inbox in front of both: what it confirms is what the book was told.
        inbox = life.shared._inboxes[life.limit, holder]
        inbox.take()
        inbox._told = dict.fromkeys(heard)
        grant = self.runner.run(
            life.shared.sync(life.limit, quota=quota, holder=holder, asks=some, settled=back)
        )
        self.compare(answer, inbox._told.keys(), grant.expires_in)
        assert grant.reason == answer.reason
        assert grant.use == answer.use
        assert grant.forgotten == answer.forgotten
        known = {lease.name for lease in mine}
        known |= {one.lease for one in back}
        fresh = [lease for lease in answer.leases if lease.name not in known]
        mine += fresh
        life.unconfirmed[holder] = [int(lease.name.partition(".")[0]) for lease in answer.leases]

    def compare(self, answer: Answer, told: "set[int] | object", expires_in: float | None) -> None:
        """Both granted the same leases, and tell to come back at the same time."""
        numbers = [int(lease.name.partition(".")[0]) for lease in answer.leases]
        assert sorted(cast("set[int]", told)) == sorted(numbers)
        ends = answer.expires_in
        assert expires_in == (None if ends is None else ends / 1000)

    @rule(holder=st.sampled_from(HOLDERS), some=st.integers(0, 4))
    def renew(self, holder: str, some: int) -> None:
        """A holder renews some of its leases, also such as have ended."""
        life = self.life
        names = [lease.name for lease in life.held[holder][:some]] + ["nobody's"]
        ended = life.book.renew(life.now, holder=holder, leases=names)
        there = self.runner.run(life.shared.renew(life.limit, holder=holder, leases=names))
        assert list(there) == ended

    @rule(millis=st.sampled_from([1, 40, 300, 500, 1_700, 6_000, 29_000, 61_000, 200_000]))
    def time_passes(self, millis: int) -> None:
        """Time passes."""
        self.life.now += millis
        self.life.clock += millis
        self.set_clock()

    @rule(millis=st.sampled_from([1, 5_000, 3_600_000]))
    def the_clock_is_set_back(self, millis: int) -> None:
        """The ledger goes on from the time that it saw last."""
        self.life.clock -= millis
        self.set_clock()

    @invariant()
    def the_books_are_the_same(self) -> None:
        life = self.life
        there = self.runner.run(life.shared.held(life.limit))
        assert there == life.book.held(life.now)


def test_redis_does_as_the_books_of_a_process_do(redis_url: str) -> None:
    lives = itertools.count()
    with asyncio.Runner() as runner:
        shared = RedisLedger(
            link_to(redis_url),
            prefix="test",
            lease_seconds=LEASE / 1000,
            settle_in=0.0,
            script=SCRIPT,
        )

        def life() -> SideBySide:
            book = Book(lease=LEASE, confirm=CONFIRM)
            one = Life(book, shared, f"limit-{next(lives)}")
            return SideBySide(one, runner)

        try:
            run_state_machine_as_test(
                cast("type[SideBySide]", life),
                settings=settings(
                    max_examples=60, stateful_step_count=40, deadline=None, phases=NO_EXPLAIN
                ),
            )
        finally:
            runner.run(shared.close())
