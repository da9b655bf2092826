"""N concepts of each roadmap at once."""

from paceline import Context, Level, Options, Outcome, Permit, Register, Strategy, Work, hookimpl
from pydantic import Field

from paceline_strategies.limits import Fixed
from paceline_strategies.local import LocalLimiter


class PerRoadmapOptions(Options):
    """Options of ``per-roadmap``."""

    limit: int = Field(default=5, ge=1, le=100_000)
    """Concepts of one roadmap that are worked on at once."""


class PerRoadmap(Strategy):
    """Holds N concepts per run; runs do not wait for each other.

    Args:
        limit: N.
    """

    levels: frozenset[Level] = frozenset({"concept"})

    def __init__(self, limit: int) -> None:
        self._limit = Fixed(limit)
        self._runs: dict[str, LocalLimiter] = {}

    async def admit(self, work: Work) -> Permit:
        """Wait until fewer than N concepts of the work's run are out."""
        if work.level != "concept":
            return Permit()
        limiter = self._runs.setdefault(work.run_id, LocalLimiter(self._limit))
        try:
            permit = await limiter.admit()
        except BaseException:
            self._forget(work.run_id)
            raise

        def release(outcome: Outcome) -> None:
            permit.release(outcome)
            self._forget(work.run_id)

        return Permit(release)

    def _forget(self, run_id: str) -> None:
        limiter = self._runs.get(run_id)
        if limiter is not None and limiter.idle:
            del self._runs[run_id]

    def explain(self) -> str:
        """Say the limit, and how full it is."""
        held = sum(limiter.held for limiter in self._runs.values())
        waiting = sum(limiter.waiting for limiter in self._runs.values())
        return (
            f"{self._limit.limit} concepts per roadmap, "
            f"{held} held in {len(self._runs)} roadmaps, {waiting} waiting"
        )


def _make(options: PerRoadmapOptions, _: Context) -> Strategy:
    return PerRoadmap(options.limit)


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Offer the strategy."""
    register(
        "per-roadmap",
        _make,
        options=PerRoadmapOptions,
        summary="N concepts of each roadmap at once: steady, and fair between roadmaps.",
        advice="limit × roadmaps at once is the most calls in flight; raise it until the "
        "provider refuses or the answers get slower.",
    )
