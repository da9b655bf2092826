"""What paceline itself costs: against the bare script, and against doing it for nothing.

    python -m benchmarks.overhead            # about ten minutes
    python -m benchmarks.overhead --json

Two measurements, each a ratio within one run. In pairs that take turns, the whole pipeline
(validation, SQLite, events, progress) and the script that only asks work on the same 227
concepts; both are warm, and each is alone with the simulated provider. Then each strategy works
at the provider's usual latencies, and its makespan is held against the list schedule of the same
drawn latencies. The simulated provider shares the machine's processors: it answers both sides of
a ratio alike, and its share is in no processor time given here.

The exit code is 1 when a target is missed.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

import click
from paceline.roadmap import load_roadmap

from benchmarks.race import MODEL, ROADMAPS, Lap, run_lap, simulator
from benchmarks.schedule import Chain, by_calls, by_concepts, drawn

PACELINE, SCRIPT = "benchmarks.host", "benchmarks.contestants.gather_unsaved"
#: Seconds of every call of the pairs.
CALL = 0.5
#: Most that a ratio's median may be.
MOST_MAKESPAN, MOST_CPU, MOST_OVER_SCHEDULE = 1.0, 1.25, 1.05

#: By strategy: its settings, and the schedule that it could reach.
STRATEGIES: dict[str, tuple[dict[str, str], Callable[[Sequence[Sequence[Chain]]], float]]] = {
    "unbounded": (
        {},
        lambda roadmaps: max(sum(chain) for chains in roadmaps for chain in chains),
    ),
    "per-roadmap": (
        {"strategies.per-roadmap.limit": "5"},
        lambda roadmaps: max(by_concepts(chains, 5) for chains in roadmaps),
    ),
    "global": (
        {"strategies.global.concurrency": "64"},
        lambda roadmaps: by_calls(roadmaps, 64),
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One ratio, as the table shows it.

    Attributes:
        what: the figure.
        ours: paceline's, in each round.
        other: what it is compared with, in the same rounds.
        most: what the median of their ratios may be at most.
    """

    what: str
    ours: Sequence[float]
    other: Sequence[float]
    most: float

    @property
    def ratios(self) -> list[float]:
        """Round by round."""
        return [ours / other for ours, other in zip(self.ours, self.other, strict=True)]

    @property
    def met(self) -> bool:
        """Whether the target is."""
        return median(self.ratios) <= self.most

    def __str__(self) -> str:
        cells = [self.what, _spread(self.ours), _spread(self.other), _spread(self.ratios)]
        return f"| {' | '.join(cells)} | ≤ {self.most:.2f} | {'yes' if self.met else 'NO'} |"


def _spread(values: Sequence[float]) -> str:
    """``median (lower–upper quartile)``; all there is where there are few."""
    if len(values) < 4:
        low, high = min(values), max(values)
    else:
        low, _, high = quantiles(values, n=4)
    return f"{median(values):.2f} ({low:.2f}–{high:.2f})"


def pairs(count: int) -> Iterator[Row]:
    """The whole pipeline against the bare script."""
    every_call = [
        part
        for step in ("tutorial", "resources", "quiz")
        for part in ("--latency", f"{step}={CALL}")
    ]
    laps: dict[str, list[Lap]] = {PACELINE: [], SCRIPT: []}
    with simulator(*every_call) as base_url, tempfile.TemporaryDirectory() as folder:
        # The first pair warms the provider and the file caches, and is not counted.
        for number in range(count + 1):
            for module in (PACELINE, SCRIPT) if number % 2 else (SCRIPT, PACELINE):
                store = f"sqlite+aiosqlite:///{folder}/{number}.db"
                lap = run_lap(module, base_url, store, settings={"strategy": "unbounded"})
                if number:
                    laps[module].append(lap)
    ours, script = laps[PACELINE], laps[SCRIPT]
    yield Row(
        "Makespan, s",
        [lap.makespan for lap in ours],
        [lap.makespan for lap in script],
        MOST_MAKESPAN,
    )
    yield Row(
        "CPU per call, ms",
        [lap.cpu_per_call * 1000 for lap in ours],
        [lap.cpu_per_call * 1000 for lap in script],
        MOST_CPU,
    )


def schedules(rounds: int, speed: float) -> Iterator[Row]:
    """Each strategy against its list schedule at no cost."""
    roadmaps = [load_roadmap(path) for path in ROADMAPS]
    laps: dict[str, list[tuple[float, float]]] = {name: [] for name in STRATEGIES}
    for _ in range(rounds):
        for name, (settings, schedule) in STRATEGIES.items():
            with tempfile.TemporaryDirectory() as folder:
                store, log = Path(folder) / "store.db", Path(folder) / "log"
                with simulator("--speed", f"{speed}", "--log", str(log)) as base_url:
                    lap = run_lap(
                        PACELINE,
                        base_url,
                        f"sqlite+aiosqlite:///{store}",
                        settings={"strategy": name, **settings},
                    )
                chains = drawn(roadmaps, store, log, model=MODEL, speed=speed)
                laps[name].append((lap.makespan, schedule(chains)))
    for name, found in laps.items():
        ours, least = zip(*found, strict=True)
        yield Row(f"Makespan of {name}, s", ours, least, MOST_OVER_SCHEDULE)


@click.command()
@click.option("--pairs", "pair_count", default=9, show_default=True, help="0 leaves them out.")
@click.option("--rounds", default=1, show_default=True, help="Of each strategy; 0 leaves them out.")
@click.option(
    "--speed", default=3.0, show_default=True, help="Of the strategies: latencies ÷ this."
)
@click.option("--json", "as_json", is_flag=True, help="Print every round as JSON.")
def main(*, pair_count: int, rounds: int, speed: float, as_json: bool) -> None:
    """Measure what paceline costs; exit 1 when a target is missed."""
    compared = list(pairs(pair_count)) if pair_count else []
    scheduled = list(schedules(rounds, speed)) if rounds else []
    if as_json:
        found = [
            {**asdict(row), "ratios": row.ratios, "met": row.met} for row in (*compared, *scheduled)
        ]
        click.echo(json.dumps(found, indent=2))
    else:
        _show(
            f"Calls of {CALL} s, unbounded: median (quartiles) of {pair_count}",
            "bare script",
            compared,
        )
        _show(f"Usual latencies ÷ {speed:g}", "list schedule", scheduled)
    sys.exit(0 if all(row.met for row in (*compared, *scheduled)) else 1)


def _show(title: str, other: str, rows: Sequence[Row]) -> None:
    if rows:
        click.echo(f"{title}\n\n| | paceline | {other} | ratio | target | met |")
        click.echo("\n".join(["| --- | --- | --- | --- | --- | --- |", *map(str, rows), ""]))


if __name__ == "__main__":
    main()
