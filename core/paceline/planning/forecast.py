"""A forecast: medians and ranges over all draws, and what they rest on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from paceline.planning.virtual.draw import Drawn, draw
from paceline.planning.virtual.strategies import names as strategy_names
from paceline.planning.virtual.world import World

#: Draws of a forecast: as many as this number of concepts allows, within these bounds.
_CONCEPTS, _FEWEST, _MOST = 1_600, 5, 20


@dataclass(frozen=True, slots=True)
class Range:
    """The median of all draws, and the range of eight in ten of them."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Range":
        """The range of at least one value."""
        return cls(median(values), _quantile(values, 0.1), _quantile(values, 0.9))

    def holds(self, value: float) -> bool:
        """Whether a value lies in the range."""
        return self.p10 <= value <= self.p90


@dataclass(frozen=True, slots=True)
class RoadmapForecast:
    """When one roadmap ends, in seconds from the start."""

    roadmap_id: str
    title: str
    end: Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run of these roadmaps with these settings will take.

    Attributes:
        makespan: seconds until the last roadmap ends.
        roadmaps: when each roadmap ends.
        cost: cost of all calls; ``None`` if a price is unknown.
        currency: the currency of the cost.
        calls: attempts that the provider accepts.
        refusals: attempts that it refuses.
        calls_peak: most calls in flight at once.
        failed: concepts that fail.
        connections_peak: most connections to the database server; ``None`` for a file.
        transactions: transactions of the database server; ``None`` for a file.
        events_peak: most progress events within one second.
        events_mean: progress events per second, on average.
        settings: strategies, executor and number of workers.
        concepts: number of concepts.
        draws: number of draws.
        seed: seed of the draws.
        sources: what was used, and how much data it rests on.
        unknown: what the forecast leaves out.
    """

    makespan: Range
    roadmaps: tuple[RoadmapForecast, ...]
    cost: Range | None
    currency: str
    calls: Range
    refusals: Range
    calls_peak: Range
    failed: Range
    connections_peak: Range | None
    transactions: Range | None
    events_peak: Range
    events_mean: Range
    settings: str
    concepts: int
    draws: int
    seed: int
    sources: tuple[str, ...]
    unknown: tuple[str, ...]

    def to_json(self) -> Mapping[str, object]:
        """The forecast as a JSON object; times are seconds."""
        return asdict(self)


#: Called with the number of draws that are done, and their total.
Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Report no progress."""


def draws_for(concepts: int) -> int:
    """Number of draws for this number of concepts."""
    return max(_FEWEST, min(_MOST, _CONCEPTS // max(1, concepts)))


def forecast(
    world: World,
    *,
    draws: int | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
    stopped: Callable[[], bool] = lambda: False,
) -> Forecast:
    """Draw several times. The same seed gives the same forecast.

    It runs an event loop of its own, so call it in a thread from async code.

    Args:
        world: settings, roadmaps and inputs.
        draws: number of draws; by default as many as the number of concepts allows.
        seed: seed of the first draw; the others follow.
        progress: called after each draw with the number done and the total.
        stopped: asked before each step whether to give up.

    Raises:
        PluginError: a strategy does not work in virtual time.
        asyncio.CancelledError: ``stopped`` returned true.
    """
    number = draws or draws_for(world.concepts)
    found: list[Drawn] = []
    for one in range(number):
        found.append(draw(world, seed * 1_000 + one, stopped))
        progress(one + 1, number)
    costs = [one.cost for one in found if one.cost is not None]
    return Forecast(
        makespan=Range.of([one.makespan for one in found]),
        roadmaps=tuple(
            RoadmapForecast(
                roadmap.roadmap_id, roadmap.title, Range.of([one.ends[place] for one in found])
            )
            for place, roadmap in enumerate(world.roadmaps)
        ),
        cost=Range.of(costs) if len(costs) == len(found) else None,
        currency=world.settings.provider.currency,
        calls=Range.of([one.calls for one in found]),
        refusals=Range.of([one.refusals for one in found]),
        calls_peak=Range.of([one.calls_peak for one in found]),
        failed=Range.of([one.failed for one in found]),
        connections_peak=_of_server(world, [one.connections_peak for one in found]),
        transactions=_of_server(world, [one.transactions for one in found]),
        events_peak=Range.of([one.events_peak for one in found]),
        events_mean=Range.of([len(one.events) / (one.makespan or 1.0) for one in found]),
        settings=describe(world),
        concepts=world.concepts,
        draws=number,
        seed=seed,
        sources=world.sources,
        unknown=world.unknown,
    )


def describe(world: World) -> str:
    """Strategies, executor and workers in one line."""
    settings = world.settings
    parts: list[str] = []
    ready = world.factory.ready.strategies is not None
    for name in strategy_names(world.factory):
        options = {} if ready else settings.strategies.get(name.replace("_", "-"), {})
        pairs = ",".join(f"{key}={value}" for key, value in options.items())
        parts.append(f"{name}:{pairs}" if pairs else name)
    where = f"{settings.executor}, {world.processes} x {world.concurrency} roadmaps"
    return f"{'+'.join(parts)} on {where}"


def _of_server(world: World, values: Sequence[float]) -> Range | None:
    return Range.of(values) if world.server else None


def _quantile(values: Sequence[float], share: float) -> float:
    """A quantile, linear between the two nearest values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
