"""The strategy ``per-roadmap``: N concepts of each roadmap at once."""

from collections.abc import Sequence

from paceline import Context, Level, Options, Outcome, Permit, Register, Strategy, Work, hookimpl
from paceline.contracts.admission.limit_figures import LimitFigures
from pydantic import Field

from paceline_strategies.local_limiter import LocalLimiter


class PerRoadmapOptions(Options):
    """Options of ``per-roadmap``."""

    limit: int = Field(default=5, ge=1, le=100_000)
    """Concepts of one roadmap that are generated at once."""


class PerRoadmap(Strategy):
    """Admits ``limit`` concepts of each run at once. Runs do not wait for each other."""

    levels: frozenset[Level] = frozenset({"concept"})

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._runs: dict[str, LocalLimiter] = {}

    async def admit(self, work: Work) -> Permit:
        """Wait until fewer than N concepts of the work's run are out."""
        limiter = self._runs.setdefault(work.run_id, LocalLimiter(self._limit))
        try:
            permit = await limiter.admit()
        except BaseException:
            self._remove_if_idle(work.run_id)
            raise

        def release(outcome: Outcome) -> None:
            permit.release(outcome)
            self._remove_if_idle(work.run_id)

        return Permit(release)

    def _remove_if_idle(self, run_id: str) -> None:
        limiter = self._runs.get(run_id)
        if limiter is not None and limiter.idle:
            del self._runs[run_id]

    def explain(self) -> str:
        """Describe the limit, and how much of it is in use."""
        held = sum(limiter.held for limiter in self._runs.values())
        waiting = sum(limiter.waiting for limiter in self._runs.values())
        return (
            f"{self._limit} concepts per roadmap, "
            f"{held} held in {len(self._runs)} roadmaps, {waiting} waiting"
        )

    def limits(self) -> Sequence[LimitFigures]:
        """The sum over the roadmaps of this process; none without one."""
        if not self._runs:
            return ()
        limiters = self._runs.values()
        return [
            LimitFigures(
                key="",
                unit="concepts",
                used=sum(limiter.held for limiter in limiters),
                quota=self._limit * len(limiters),
                waiting=sum(limiter.waiting for limiter in limiters),
            )
        ]


def _make(options: PerRoadmapOptions, _: Context) -> Strategy:
    return PerRoadmap(options.limit)


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Register the strategy."""
    register(
        "per-roadmap",
        _make,
        options=PerRoadmapOptions,
        summary="N concepts of each roadmap at once: steady, and fair between roadmaps.",
        advice="At most limit × active roadmaps calls are in flight. Raise the limit until the "
        "provider refuses calls or answers get slower.",
    )
