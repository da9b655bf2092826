"""Lower bounds that strategies declare themselves."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from math import isfinite

from paceline import App, Ledger, PartUnavailable, PlannedCall, PlannedRoadmap, Strategy

from paceline_adapters.bench.bounds import RoadmapCalls
from paceline_adapters.bench.fairness import Bound


@asynccontextmanager
async def declared_bound(app: App, *, workers: int) -> AsyncGenerator[Bound]:
    """The highest bound that the strategies of these settings declare; 0 if they declare none.

    The strategies are made for this purpose only, with a ledger in memory. They admit nothing.

    Args:
        app: the settings of the cell, without an address of Redis.
        workers: number of processes that work.
    """
    ledgers: list[Ledger] = []

    @cache
    def ledger() -> Ledger:
        ledgers.append(app.factory.ledger(app.factory.context()))
        return ledgers[0]

    context = app.factory.context(worker_id="bench", ledger=ledger)
    made: dict[str, Strategy] = {}
    try:
        for name in app.settings.strategy:
            options = app.settings.strategies.get(name.replace("_", "-"), {})
            offer = app.plugins.strategy(name)
            made[name] = offer.make(options, context, f"strategies.{name}")
        yield lambda plans: _highest(made, plans, workers)
    finally:
        for strategy in made.values():
            await strategy.close()
        for opened in ledgers:
            await opened.close()


def _highest(
    strategies: Mapping[str, Strategy], plans: Sequence[RoadmapCalls], workers: int
) -> float:
    roadmaps: list[PlannedRoadmap] = [
        [[PlannedCall(*call) for call in chain] for chain in plan] for plan in plans
    ]
    return max(
        (_declared(name, one, roadmaps, workers) for name, one in strategies.items()), default=0.0
    )


def _declared(
    name: str, strategy: Strategy, roadmaps: Sequence[PlannedRoadmap], workers: int
) -> float:
    try:
        bound = strategy.lower_bound(roadmaps, workers=workers)
    except Exception as error:
        raise PartUnavailable(
            f"lower_bound of strategy {name!r} failed: {type(error).__name__}: {error}"
        ) from error
    if bound is None:
        return 0.0
    if not isfinite(bound) or bound < 0:
        raise PartUnavailable(
            f"lower_bound of strategy {name!r} must be a number of seconds from 0, got {bound}"
        )
    return bound
