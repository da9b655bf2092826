"""``paceline bench``."""

import signal
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from paceline import UsageError
from paceline.client.terminal.output import echo_json, echo_table, note, warn
from paceline.text import parse_pairs
from paceline.validation import describe
from pydantic import ValidationError

if TYPE_CHECKING:
    from paceline_adapters.bench.options import BenchOptions
    from paceline_adapters.bench.report.preference import Preference
    from paceline_adapters.bench.report.ranking import Ranking
    from paceline_adapters.bench.results import Results

#: Default folder of results and report, and the name of the results file.
FOLDER = Path("bench-results")
RESULTS = "results.json"
#: Options that do not describe what is measured.
_OTHER_OPTIONS = frozenset(
    {"report", "max_connections", "max_events", "prefer", "resume", "compare", "as_json"}
)


def _pairs(_: click.Context, option: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    try:
        return parse_pairs(values, form=str(option.metavar))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="STACK",
    help="Strategy or stack, such as global:concurrency=16 or per-roadmap+global. Repeatable.  "
    "[default: unbounded, per-roadmap, global]",
)
@click.option(
    "--executor",
    "executors",
    multiple=True,
    metavar="NAME",
    help="Executor, such as celery:pool=threads. Repeatable.  [default: in-process, celery, arq]",
)
@click.option(
    "--store",
    "stores",
    multiple=True,
    metavar="NAME",
    help="Store: sqlite, postgresql, memory or that of a plugin, such as "
    "mirrored:folder={folder}/out. Repeatable.  [default: postgresql, and sqlite for in-process "
    "executors]",
)
@click.option(
    "--workload",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TOML file with roadmaps, latencies, speed, seed and quotas.",
)
@click.option(
    "--roadmaps", metavar="N", type=click.IntRange(1, 10_000), help="Generate N synthetic roadmaps."
)
@click.option(
    "--concepts",
    metavar="N",
    type=click.IntRange(1, 100_000),
    help="Concepts of each synthetic roadmap.",
)
@click.option(
    "--latency",
    multiple=True,
    callback=_pairs,
    metavar="STEP=LOW-HIGH",
    help="Seconds per call of a step, at speed 1. Repeatable.",
)
@click.option(
    "--latencies-from",
    metavar="DATABASE_URL",
    envvar="PACELINE_BENCH_LATENCIES_FROM",
    help="Take the latencies from the artifacts in this database.",
)
@click.option(
    "--speed", type=float, help="Divide latencies by this factor.  [default: 20; with --quick: 60]"
)
@click.option(
    "--seed", type=int, help="Seed of latencies, contents and the order of cells.  [default: 42]"
)
@click.option(
    "--rpm", type=click.IntRange(1), help="Provider's limit of requests per minute, at speed 1."
)
@click.option(
    "--tpm", type=click.IntRange(1), help="Provider's limit of tokens per minute, at speed 1."
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    help="Measured rounds of each cell.  [default: 5; with --quick: 2]",
)
@click.option(
    "--warm-up",
    type=click.IntRange(0, 100),
    help="Rounds that are run first and discarded.  [default: 1; with --quick: 0]",
)
@click.option("--quick", is_flag=True, help="Two rounds at speed 60, without warm-up.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Worker processes of a distributed executor.",
)
@click.option(
    "--contestants",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also measure the hand-written programs in this folder.",
)
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    show_default=True,
    metavar="DIR",
    help="Folder for results and report.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    help="Maximum number of database connections of the recommended setting.",
)
@click.option(
    "--max-events",
    type=click.IntRange(1),
    help="Maximum number of progress events per second of the recommended setting.",
)
@click.option(
    "--prefer",
    type=click.Choice(["time", "cost", "fairness"]),
    default="time",
    show_default=True,
    help="What counts most for the recommended setting.",
)
@click.option(
    "--resume", is_flag=True, help="Continue from the existing results in the report folder."
)
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="A.json B.json",
    help="Only compare two results files: do their ratios agree within 10 %?",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def bench(
    *,
    report: Path,
    max_connections: int | None,
    max_events: int | None,
    prefer: "Preference",
    resume: bool,
    compare: tuple[Path, Path] | None,
    as_json: bool,
    **given: object,
) -> int:
    """Compare strategies, executors and stores.

    Each combination is a cell. All cells generate the same roadmaps: FILEs, or the eight
    examples with 227 concepts. Each cell has its own processes and its own empty database, and
    calls a simulated provider. The rounds of the cells are interleaved. All servers are started
    for the benchmark; your servers are not used.

    If you press Ctrl-C, finished rounds are kept and --resume continues. If all rounds are
    finished, --resume only writes the report again.

    The result is a table and an HTML page. The page compares all cells and recommends a setting
    within --max-connections, --max-events, --rpm and --tpm. --prefer says what counts most: time,
    cost, or fairness between small and large roadmaps. Differences within the spread are ties.
    The next criterion then decides.

    \b
    Exit codes: 0 measured, 1 a cell failed, 2 usage error, 130 Ctrl-C.
    With --compare: 0 all ratios agree, 3 outliers.

    \b
    Examples:
      paceline bench --quick
      paceline bench --strategy global:concurrency=16 --strategy global:concurrency=64 \\
        --executor celery --executor celery:pool=threads my-roadmaps/*.json
      paceline bench --max-connections 60 --max-events 50 --rpm 500
      paceline bench --prefer fairness --strategy global --strategy per-roadmap+global
      paceline bench --compare monday/results.json tuesday/results.json
    """
    if compare:
        return _compare(*compare, as_json=as_json)
    from paceline_adapters.bench.engine import load
    from paceline_adapters.bench.report import Constraints, rank, ranking_to_json, write_report

    # As after Ctrl-C: started processes are stopped, and finished rounds are kept.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    benchmark = check_options(given).bench(arguments=sys.argv[2:], results_file=report / RESULTS)
    if resume:
        benchmark.resume(load(report / RESULTS))
    with _progress() as on_progress:
        benchmark.on_progress, benchmark.on_failure = on_progress, warn
        results = benchmark.run()
    work = benchmark.workload
    bounds = Constraints(max_connections, max_events, work.rpm, work.tpm)
    page = write_report(results, report, bounds, prefer)
    if as_json:
        found = results.model_dump(mode="json", exclude_none=True)
        echo_json({**found, "ranking": ranking_to_json(rank(results, bounds, prefer))})
    else:
        _print(results)
        _print_verdict(rank(results, bounds, prefer))
        note(f"report: {page}")
    return 1 if benchmark.failures else 0


def check_options(given: Mapping[str, object]) -> "BenchOptions":
    """Validate the options that click parsed.

    Raises:
        UsageError: an option is wrong.
    """
    from paceline_adapters.bench.options import BenchOptions

    try:
        return BenchOptions.model_validate(given)
    except ValidationError as error:
        raise UsageError("; ".join(describe(error))) from None


def parse(arguments: Sequence[str]) -> "BenchOptions":
    """Validate a command line, for ``pytest benchmarks``. Raises as ``check_options``."""
    given = bench.make_context("paceline bench", list(arguments)).params
    return check_options({name: given[name] for name in given if name not in _OTHER_OPTIONS})


@contextmanager
def _progress() -> Generator[Callable[[int, int, str], None]]:
    """A progress bar on stderr, with the remaining time."""
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
        TextColumn("remaining:"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=3600) as bar:
        task = bar.add_task("starting servers", total=None)

        def on_progress(done: int, total: int, text: str) -> None:
            bar.update(task, completed=done, total=total, description=text)

        yield on_progress


def _print(results: "Results") -> None:
    from paceline_adapters.bench.table import table

    echo_table(table(results))
    work = results.workload
    rounds = max(len(cell.rounds) for cell in results.cells)
    click.echo(
        f"{work.name}; latencies ÷ {work.speed:g}; rounds: {rounds}. Values are medians. "
        "± is half the distance between the quartiles (with fewer than four rounds, between the "
        "lowest and highest value)."
    )


def _print_verdict(ranking: "Ranking") -> None:
    from paceline_adapters.bench.report import reasons, verdict_line
    from paceline_adapters.bench.report.formatting import NARROW_SPACE

    click.echo(f"{verdict_line(ranking)} Preference: {ranking.prefer}.")
    for reason in reasons(ranking):
        click.echo(f"  {reason.replace(NARROW_SPACE, ' ')}")


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
            f"Makespan ÷ median of all cells, in each benchmark. {len(found) - len(outliers)} of "
            f"{len(found)} cells agree within {share}"
            + (f"; outliers: {', '.join(one.cell for one in outliers)}." if outliers else ".")
        )
    return 3 if outliers else 0
