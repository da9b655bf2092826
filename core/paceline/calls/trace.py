"""What one step did, and when: its waits, its calls, and how each call ended."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from paceline.contracts.admission.work import Done, Outcome, RateLimited
from paceline.contracts.storage.timeline import MAX_OPEN_PHASES, MAX_PHASES, Phase, PhaseKind

#: Waits that are shorter are not worth a place in the timeline, in seconds.
_SHORT = 0.005


@dataclass(slots=True)
class Trace:
    """The phases of one step, on the clock of the event loop.

    Attributes:
        began_at: when the step began; ``None`` before.
        phases: its phases so far, at most ``MAX_PHASES``.
        current: what it does now, and since when; ``None`` between two phases.
    """

    began_at: float | None = None
    phases: list[Phase] = field(default_factory=list[Phase])
    current: tuple[PhaseKind, float] | None = None

    def begin(self, waited: float = 0.0) -> None:
        """Begin the step. Its concept waited ``waited`` seconds for its own admission before."""
        self.began_at = asyncio.get_running_loop().time()
        if waited >= _SHORT:
            self.phases.append(Phase("waiting", -waited, waited))

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        if self.began_at is None:
            return 0.0
        return asyncio.get_running_loop().time() - self.began_at

    @contextmanager
    def doing(self, kind: PhaseKind) -> Generator[None]:
        """Record what is done within ``with``."""
        started = asyncio.get_running_loop().time()
        self.current = kind, started
        try:
            yield
        finally:
            self.add(kind, started)

    def calling(self, started: float) -> None:
        """A call has started; ``called`` ends it."""
        self.current = "calling", started

    def called(self, outcome: Outcome, started: float) -> None:
        """Record a call that started then and has just ended."""
        kind: PhaseKind = "failed"
        if isinstance(outcome, Done):
            kind = "calling"
        elif isinstance(outcome, RateLimited):
            kind = "refused"
        self.add(kind, started)

    def add(self, kind: PhaseKind, started: float) -> None:
        """Record what started then and has just ended."""
        took = asyncio.get_running_loop().time() - started
        self.current = None
        if self.began_at is None or len(self.phases) >= MAX_PHASES:
            return
        if kind != "waiting" or took >= _SHORT:
            self.phases.append(Phase(kind, started - self.began_at, took))

    def so_far(self) -> tuple[Phase, ...]:
        """The last phases, with the current one."""
        phases = self.phases[-MAX_OPEN_PHASES:]
        if self.current is not None and self.began_at is not None:
            kind, started = self.current
            now = asyncio.get_running_loop().time()
            phases.append(Phase(kind, started - self.began_at, now - started))
        return tuple(phases)
