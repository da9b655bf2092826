"""What paceline itself costs: against the bare script, and against doing it for nothing.

    python -m benchmarks.overhead            # about ten minutes
    python -m benchmarks.overhead --json

Two measurements, each a ratio within one run. In pairs that take turns, the whole pipeline
(validation, SQLite, events, progress) and the script that only asks work on the same 227
concepts; both are warm, and each is alone with a simulated provider. Then each strategy works
at the provider's usual latencies, and its makespan is held against the list schedule of the same
drawn latencies. The engine looks on from a process of its own, and the provider is another: both
share the machine's processors, alike for both sides of a ratio, and are in no processor time
given here.

The exit code is 1 when a target is missed.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import click
from paceline_adapters.bench.quantiles import median_text
from paceline_adapters.bench.workload import examples, scaled

from benchmarks.experiment import contestant_cell, measure_cells, paceline_cell

#: Seconds of every call of the pairs.
CALL = 0.5
#: Most that a ratio's median may be.
MOST_MAKESPAN, MOST_CPU, MOST_OVER_SCHEDULE = 1.0, 1.25, 1.05

#: What is held against its schedule.
STRATEGIES = ("unbounded", "per-roadmap:limit=5", "global:concurrency=64")


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
        cells = [self.what, *map(told, (self.ours, self.other, self.ratios))]
        return f"| {' | '.join(cells)} | ≤ {self.most:.2f} | {'yes' if self.met else 'NO'} |"


def pairs(count: int) -> Iterator[Row]:
    """The whole pipeline against the bare script."""
    every_call = dict.fromkeys(("tutorial", "resources", "quiz"), (CALL, CALL))
    workload = scaled(examples(), latency=every_call, speed=1.0)
    paceline, script = measure_cells(
        [
            paceline_cell("unbounded", "in-process", workload, store="sqlite"),
            contestant_cell("gather-unsaved", workload, store="sqlite"),
        ],
        workload,
        rounds=count,
        warm_up=1,
    )
    for what, figure, most in (
        ("Makespan, s", "makespan", MOST_MAKESPAN),
        ("CPU per call, ms", "cpu_per_call", MOST_CPU),
    ):
        yield Row(what, paceline.values(figure), script.values(figure), most)


def schedules(rounds: int, speed: float) -> Iterator[Row]:
    """Each strategy against its list schedule at no cost."""
    workload = scaled(examples(), speed=speed)
    contests = [paceline_cell(name, "in-process", workload, store="sqlite") for name in STRATEGIES]
    for cell in measured(contests, workload, rounds=rounds):
        makespans, least = cell.values("makespan"), cell.values("list_schedule")
        yield Row(f"Makespan of {cell.strategy}, s", makespans, least, MOST_OVER_SCHEDULE)


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
