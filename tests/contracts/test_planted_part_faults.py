"""The suites of buses and ledgers catch planted faults by name."""

from collections.abc import Sequence

import pytest
from paceline.events import Event, EventBus
from paceline.ledger import Grant, Ledger
from paceline.testing.contracts import EventBusContract, LedgerContract
from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.memory.ledger import MemoryLedger

from tests.contracts.suites import complaint


class Loses(MemoryBus):
    """Drops what is published together with something else."""

    async def publish(self, events: Sequence[Event]) -> None:
        await super().publish(events[:1])
        await super().publish(events[2:])


class Reorders(MemoryBus):
    """The last first."""

    async def publish(self, events: Sequence[Event]) -> None:
        await super().publish(events[::-1])


class GoesOn(MemoryBus):
    """Takes what comes after the last event for a new claim's."""

    async def publish(self, events: Sequence[Event]) -> None:
        for number, event in enumerate(events, 1):
            opens = event.model_copy(
                update={"type": "content_generation_snapshot", "fence": event.fence + number}
            )
            await super().publish([event if event.terminal else opens])


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        (Reorders, "test_runs_are_apart_though_published_together", "[2, 1, 0]"),
        (Loses, "test_who_reads_slowly_misses_nothing_that_is_kept", "lost event"),
        (GoesOn, "test_nothing_follows_the_last_event", "[0, 2] == [0, 1]"),
    ],
)
def test_a_bus_with_a_fault_is_caught(made: type[MemoryBus], test: str, says: str) -> None:
    class Suite(EventBusContract):
        def bus(self) -> EventBus:
            return made(max_length=100)

    assert says in complaint(Suite, test)


class Generous(MemoryLedger):
    """Forgets the capacity."""

    async def exchange(
        self, limit: str, *, capacity: int, holder: str, wanted: int, settle: Sequence[str]
    ) -> Grant:
        return await super().exchange(
            limit, capacity=capacity + 1, holder=holder, wanted=wanted, settle=settle
        )


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        (MemoryLedger, "test_leases_that_nobody_renews_end", "say when to ask again"),
        (Generous, "test_grants_what_is_wanted_up_to_the_capacity", "(3, 1)"),
    ],
)
def test_a_ledger_with_a_fault_is_caught(made: type[MemoryLedger], test: str, says: str) -> None:
    class Suite(LedgerContract):
        def ledger(self) -> Ledger:
            return made()

    assert says in complaint(Suite, test)
