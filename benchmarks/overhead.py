"""paceline's overhead, compared with a bare script and with an ideal scheduler.

    python -m benchmarks.overhead            # about ten minutes
    python -m benchmarks.overhead --json

Both measurements are ratios within one benchmark. First, the whole pipeline (validation, SQLite,
events, progress) and a script that only makes the calls alternate on the same 227 concepts, after a
warm-up and each with its own simulated provider. Then each strategy runs at the provider's usual
latencies, and its makespan is compared with the list schedule of the same latencies. The engine and
the provider are separate processes. They share the machine's processors with both sides of a ratio,
and their processor time is not included.

The exit code is 1 if a target is missed.
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

#: Latency of every call of the pairs in seconds.
CALL = 0.5
#: Maximum of the median of a ratio.
MAX_MAKESPAN, MAX_CPU, MAX_OVER_SCHEDULE = 1.0, 1.25, 1.05

#: Strategies that are compared with their list schedule.
STRATEGIES = ("unbounded", "per-roadmap:limit=5", "global:concurrency=64")


@dataclass(frozen=True, slots=True)
class Row:
    """One ratio, as a row of the table.

    Attributes:
        what: name of the figure.
        ours: values of paceline by round.
        other: values to compare with, by round.
        most: maximum of the median ratio.
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
        cells = [self.what, *map(median_text, (self.ours, self.other, self.ratios))]
        return f"| {' | '.join(cells)} | ≤ {self.most:.2f} | {'yes' if self.met else 'NO'} |"


def pairs(count: int) -> Iterator[Row]:
    """The whole pipeline compared with the bare script."""
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
        ("Makespan, s", "makespan", MAX_MAKESPAN),
        ("CPU per call, ms", "cpu_per_call", MAX_CPU),
    ):
        yield Row(what, paceline.values(figure), script.values(figure), most)


def schedules(rounds: int, speed: float) -> Iterator[Row]:
    """Each strategy compared with its list schedule."""
    workload = scaled(examples(), speed=speed)
    cells = [paceline_cell(name, "in-process", workload, store="sqlite") for name in STRATEGIES]
    for cell in measure_cells(cells, workload, rounds=rounds):
        makespans, least = cell.values("makespan"), cell.values("list_schedule")
        yield Row(f"Makespan of {cell.strategy}, s", makespans, least, MAX_OVER_SCHEDULE)


@click.command()
@click.option(
    "--pairs",
    "pair_count",
    default=9,
    show_default=True,
    help="Rounds of the comparison with the script; 0 skips it.",
)
@click.option(
    "--rounds", default=1, show_default=True, help="Rounds of each strategy; 0 skips them."
)
@click.option(
    "--speed",
    default=3.0,
    show_default=True,
    help="Divide the latencies of the strategies by this factor.",
)
@click.option("--json", "as_json", is_flag=True, help="Print every round as JSON.")
def main(*, pair_count: int, rounds: int, speed: float, as_json: bool) -> None:
    """Measure paceline's overhead; exits with 1 if a target is missed."""
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
