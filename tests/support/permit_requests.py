"""Random crowds of callers for a limit: when each arrives, works and cancels."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st
from paceline import Done, Failed, Outcome, Permit

moments = st.integers(0, 12).map(lambda quarter: quarter / 4)


@dataclass(frozen=True, slots=True)
class Member:
    """One caller; times in seconds.

    Attributes:
        comes: when it requests a permit.
        works: how long it keeps its permit.
        gives_up: seconds from its arrival until it is cancelled.
        gate: the limit that it uses.
    """

    comes: float
    works: float
    gives_up: float | None
    gate: int


members = st.builds(
    Member,
    comes=moments,
    works=moments,
    gives_up=st.none() | moments,
    gate=st.integers(0, 2),
)
crowds = st.lists(members, min_size=1, max_size=25)


@dataclass(slots=True)
class Seen:
    """When each caller was admitted, and the most callers at the same time per gate."""

    admitted: dict[int, float] = field(default_factory=dict[int, float])
    out: dict[int, int] = field(default_factory=dict[int, int])
    peak: dict[int, int] = field(default_factory=dict[int, int])


async def let_in(crowd: Sequence[Member], admit: Callable[[Member], Awaitable[Permit]]) -> Seen:
    """Run all callers to their end."""
    seen = Seen()

    async def live(number: int, member: Member) -> None:
        permit = await admit(member)
        outcome: Outcome = Failed()
        gate = member.gate
        try:
            seen.admitted[number] = asyncio.get_running_loop().time()
            seen.out[gate] = seen.out.get(gate, 0) + 1
            seen.peak[gate] = max(seen.peak.get(gate, 0), seen.out[gate])
            await asyncio.sleep(member.works)
            outcome = Done()
        finally:
            seen.out[gate] -= 1
            permit.release(outcome)
            permit.release(outcome)

    async def come(number: int, member: Member) -> None:
        await asyncio.sleep(member.comes)
        task = asyncio.create_task(live(number, member))
        if member.gives_up is not None:
            await asyncio.sleep(member.gives_up)
            task.cancel()
        await asyncio.wait({task})

    async with asyncio.TaskGroup() as everybody:
        for number, member in enumerate(crowd):
            everybody.create_task(come(number, member))
    return seen


def assert_first_come_first_served(crowd: Sequence[Member], seen: Seen) -> None:
    """At each gate, no caller was admitted before one that arrived earlier."""
    for number, member in enumerate(crowd):
        for other, earlier in enumerate(crowd):
            if earlier.gate == member.gate and earlier.comes < member.comes:
                assert seen.admitted[other] <= seen.admitted[number]
