"""Random lives of holders, in memory and in Redis side by side."""

import asyncio
from collections import defaultdict
from typing import cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from paceline.ledger import Ledger
from paceline_adapters.memory.ledger import MemoryLedger

from tests.ledger.places import redis_ledger

CAPACITY = 5
HOLDERS = ["a", "b", "c", "d"]


class Lives(RuleBasedStateMachine):
    """Holders that take, give back, change their mind, and answer when they are called."""

    def __init__(self, ledgers: list[Ledger], runner: asyncio.Runner, limit: str) -> None:
        super().__init__()
        self.ledgers = ledgers
        self.runner = runner
        self.limit = limit
        #: Per holder, the leases of each ledger: their names differ, their numbers must not.
        self.held: defaultdict[str, list[list[str]]] = defaultdict(lambda: [[] for _ in ledgers])
        self.wanted: dict[str, int] = {}  # in the order of waiting

    def exchange(self, holder: str, wanted: int, back: int) -> int:
        counts: set[int] = set()
        for ledger, leases in zip(self.ledgers, self.held[holder], strict=True):
            settle = leases[:back]
            del leases[:back]
            grant = self.runner.run(
                ledger.exchange(
                    self.limit, capacity=CAPACITY, holder=holder, wanted=wanted, settle=settle
                )
            )
            leases.extend(grant.leases)
            counts.add(len(grant.leases))
        assert len(counts) == 1, f"the ledgers disagree: {counts}"
        granted = counts.pop()
        if granted or not wanted:
            self.wanted.pop(holder, None)
        if wanted > granted:
            self.wanted[holder] = wanted - granted
        return granted

    def held_before(self, holder: str, granted: int) -> int:
        return len(self.held[holder][0]) - granted

    @property
    def out(self) -> int:
        return sum(len(leases[0]) for leases in self.held.values())

    @rule(holder=st.sampled_from(HOLDERS), wanted=st.integers(0, 7), back=st.integers(0, 7))
    def ask(self, holder: str, wanted: int, back: int) -> None:
        alone = not self.wanted.keys() - {holder}
        first = next(iter(self.wanted), holder)
        granted = self.exchange(holder, wanted, back)
        free = CAPACITY - (self.out - granted)
        if alone:
            assert granted == min(wanted, free), "nothing is kept for who wants nothing"
        if first == holder and not self.held_before(holder, granted):
            assert bool(granted) == bool(wanted and free), "who waits longest is passed over"

    @rule(holder=st.sampled_from(HOLDERS))
    def renew(self, holder: str) -> None:
        for ledger, leases in zip(self.ledgers, self.held[holder], strict=True):
            lost = self.runner.run(ledger.renew(self.limit, holder=holder, leases=leases))
            assert not lost

    @precondition(lambda self: self.wanted)
    @rule()
    def all_who_wait_ask_again(self) -> None:
        for _ in range(len(HOLDERS)):
            for holder, wanted in list(self.wanted.items()):
                self.exchange(holder, wanted, 0)
        assert self.out == CAPACITY or not self.wanted, "something is free, somebody waits"

    @invariant()
    def never_more_out_than_the_capacity(self) -> None:
        assert self.out <= CAPACITY

    @invariant()
    def the_books_are_right(self) -> None:
        counts = {holder: len(leases[0]) for holder, leases in self.held.items() if leases[0]}
        for ledger in self.ledgers:
            assert self.runner.run(ledger.held(self.limit)) == counts

    def teardown(self) -> None:
        for holder in HOLDERS:
            self.exchange(holder, 0, CAPACITY)
        for ledger in self.ledgers:
            assert self.runner.run(ledger.held(self.limit)) == {}


def test_redis_does_as_memory_does_and_neither_breaks_the_limit(redis_url: str) -> None:
    lives = 0
    with asyncio.Runner() as runner:
        shared = redis_ledger(redis_url)

        def life() -> Lives:
            nonlocal lives
            lives += 1
            return Lives([MemoryLedger(), shared], runner, f"limit-{lives}")

        try:
            run_state_machine_as_test(
                cast("type[Lives]", life),
                settings=settings(max_examples=40, stateful_step_count=30, deadline=None),
            )
        finally:
            runner.run(shared.close())


def test_memory_alone_keeps_its_promises_through_longer_lives() -> None:
    with asyncio.Runner() as runner:
        run_state_machine_as_test(
            cast("type[Lives]", lambda: Lives([MemoryLedger()], runner, "limit")),
            settings=settings(max_examples=100, stateful_step_count=60, deadline=None),
        )
