"""``paceline bench``."""

import signal
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from paceline import UsageError
from paceline.client.terminal.app_options import echo_json, echo_table, note, pairs, warn
from paceline.validation import describe
from pydantic import ValidationError

if TYPE_CHECKING:
    from paceline_adapters.bench.asked import Asked
    from paceline_adapters.bench.results import Results

#: Where a call leaves what it measured, if nothing else is said.
FOLDER = Path("bench-results")
RESULTS = "results.json"
#: Options that do not say what is measured.
_NOT_ASKED = frozenset({"report", "max_connections", "max_events", "resume", "compare", "as_json"})


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="STACK",
    help="As global:concurrency=16, or per-roadmap+global; repeatable.  [default: all built in]",
)
@click.option(
    "--executor",
    "executors",
    multiple=True,
    metavar="NAME",
    help="As celery:pool=threads; repeatable.  [default: in-process, celery, arq]",
)
@click.option(
    "--store",
    "stores",
    multiple=True,
    type=click.Choice(["sqlite", "postgresql"]),
    help="Repeatable.  [default: postgresql, and sqlite where one process works]",
)
@click.option(
    "--workload",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TOML file with roadmaps, latency, speed, seed, rpm, tpm.",
)
@click.option(
    "--roadmaps", type=click.IntRange(1, 10_000), help="So many made-up roadmaps instead."
)
@click.option("--concepts", type=click.IntRange(1, 100_000), help="Concepts of each of them.")
@click.option(
    "--latency",
    multiple=True,
    callback=pairs,
    metavar="STEP=LOW-HIGH",
    help="Seconds that a call takes at speed 1; repeatable.",
)
@click.option(
    "--latencies-from",
    metavar="DATABASE_URL",
    envvar="PACELINE_BENCH_LATENCIES_FROM",
    help="Take them from the artifacts of a real run.",
)
@click.option("--speed", type=float, help="Latencies are divided by it.  [default: 20, --quick 60]")
@click.option("--seed", type=int, help="Of latencies, and of the order of cells.  [default: 42]")
@click.option(
    "--rpm", type=click.IntRange(1), help="Requests a minute that the provider takes, at speed 1."
)
@click.option("--tpm", type=click.IntRange(1), help="Tokens a minute, at speed 1.")
@click.option(
    "--rounds", type=click.IntRange(1, 1000), help="Rounds that count.  [default: 5, --quick 2]"
)
@click.option(
    "--warm-up",
    type=click.IntRange(0, 100),
    help="Rounds before them, which do not.  [default: 1, --quick 0]",
)
@click.option("--quick", is_flag=True, help="Two rounds, no warm-up: a first look.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Worker processes of celery and arq.",
)
@click.option(
    "--contestants",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Measure the hand-written programs of this folder too.",
)
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    show_default=True,
    metavar="DIR",
    help="Where results and report are written.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    help="Database connections that the recommended setting may take.",
)
@click.option(
    "--max-events",
    type=click.IntRange(1),
    help="Progress events a second that it may send at its peak.",
)
@click.option("--resume", is_flag=True, help="Go on with the results that are there.")
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="A.json B.json",
    help="Measure nothing: say whether the ratios of two runs agree within 10 %.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def bench(
    *,
    report: Path,
    max_connections: int | None,
    max_events: int | None,
    resume: bool,
    compare: tuple[Path, Path] | None,
    as_json: bool,
    **given: object,
) -> int:
    """Measure strategies, executors and stores against each other.

    Each combination is a cell: it generates the same roadmaps (FILEs, or the eight examples
    with 227 concepts) in processes of its own, with an empty database of its own, against a
    simulated provider, round after round in turn with the others. Servers are started for it;
    yours are not touched. Ctrl-C keeps what was measured, and --resume goes on; when nothing is
    left to measure, it makes the report anew.

    It ends with a table, and with a page that compares all cells and recommends a setting: the
    fastest that keeps to --max-connections, --max-events, --rpm and --tpm.

    \b
    Exit codes: 0 measured, 1 a cell failed, 2 wrong usage, 130 Ctrl-C;
    of --compare: 0 all agree, 3 there are outliers.

    \b
    Examples:
      paceline bench --quick
      paceline bench --strategy global:concurrency=16 --strategy global:concurrency=64 \\
        --executor celery --executor celery:pool=threads my-roadmaps/*.json
      paceline bench --max-connections 60 --max-events 50 --rpm 500
      paceline bench --compare monday/results.json tuesday/results.json
    """
    if compare:
        return _compare(*compare, as_json=as_json)
    from paceline_adapters.bench.engine import load
    from paceline_adapters.bench.report import Constraints, write_report

    # As Ctrl-C does: whatever was started is stopped, what was measured is kept.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    made = asked(given).bench(arguments=sys.argv[2:], keep=report / RESULTS)
    if resume:
        made.resume(load(report / RESULTS))
    with _progress() as told:
        made.told, made.failed = told, warn
        results = made.run()
    work = made.workload
    bounds = Constraints(max_connections, max_events, work.rpm, work.tpm)
    page = write_report(results, report, bounds)
    if as_json:
        click.echo(results.model_dump_json(indent=1, exclude_none=True))
    else:
        _print(results)
        note(f"the report, with its data beside it: {page}")
    return 1 if made.failures else 0


def asked(given: Mapping[str, object]) -> "Asked":
    """The options as click parsed them, checked.

    Raises:
        UsageError: one of them cannot be.
    """
    from paceline_adapters.bench.asked import Asked

    try:
        return Asked.model_validate(given)
    except ValidationError as error:
        raise UsageError("; ".join(describe(error))) from None


def parse(arguments: Sequence[str]) -> "Asked":
    """The same out of a command line, for ``pytest benchmarks``. Raises as ``asked``."""
    given = bench.make_context("paceline bench", list(arguments)).params
    return asked({name: given[name] for name in given if name not in _NOT_ASKED})


@contextmanager
def _progress() -> Generator[Callable[[int, int, str], None]]:
    """A bar on stderr, with the time that is left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=3600) as shown:
        task = shown.add_task("starting servers", total=None)

        def told(done: int, total: int, what: str) -> None:
            shown.update(task, completed=done, total=total, description=what)

        yield told


def _print(results: "Results") -> None:
    from paceline_adapters.bench.table import table

    echo_table(table(results))
    work = results.workload
    rounds = max(len(cell.rounds) for cell in results.cells)
    click.echo(
        f"{work.name}, the provider {work.speed:g} times faster than real; rounds: {rounds}. "
        "Medians; ± is half the spread between quartiles (of fewer than four rounds: between "
        "the ends)."
    )


def _compare(first: Path, second: Path, *, as_json: bool) -> int:
    from paceline_adapters.bench.compare import TOLERANCE, compare
    from paceline_adapters.bench.engine import load
    from paceline_adapters.bench.table import compared_table

    found = compare(load(first), load(second))
    outliers = [one for one in found if one.outlier]
    if as_json:
        rows = [
            {"cell": one.cell, "first": one.first, "second": one.second, "change": one.change}
            for one in found
        ]
        echo_json({"cells": rows, "outliers": [one.cell for one in outliers]})
    else:
        echo_table(compared_table(found))
        share = f"{TOLERANCE:.0%}"
        click.echo(
            f"Makespan ÷ the median cell's, in each run. {len(found) - len(outliers)} of "
            f"{len(found)} agree within {share}"
            + (f"; outliers: {', '.join(one.cell for one in outliers)}." if outliers else ".")
        )
    return 3 if outliers else 0
