"""The cost of a concept in runs of different sizes: ``python -m benchmarks.growth``.

Each size is one call-limited run in its own process, with the real pipeline, store, strategy and
event bus. Answers come from the same process, or over HTTP from a simulator in another process. The
last run has all its calls in flight at once. It needs Linux for the kernel's peak of resident
memory.

CPU is the processor time of the worker process, from the claim to the end of the run. Memory is the
peak of the process while it generates, without the memory for loading the roadmap.
"""

import asyncio
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
from paceline import PartUnavailable
from paceline_adapters.bench.environments import simulated_provider
from paceline_adapters.bench.quantiles import median_text
from pydantic import BaseModel

from benchmarks.growth_cell import LIMIT, Cell, Growth
from benchmarks.targets import Target, conclude, table

#: Maximum ratio of the largest run to the smallest, per concept and in memory.
FLAT = 1.2
#: Open files besides connections: database, libraries, pipes.
_FILES = 500
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Series:
    """Runs that differ only in size.

    Attributes:
        name: name in the table.
        url: ``store.url``; ``{}`` stands for a folder.
        sizes: number of concepts of each run.
        http: whether answers come over HTTP.
        judged: whether CPU and memory must be flat. The memory store is itself the database, so
            it grows with the artifacts.
    """

    name: str
    url: str
    sizes: Sequence[int]
    http: bool = False
    judged: bool = True


class Measured(BaseModel):
    """One run of a series."""

    series: str
    round: int
    growth: Growth


def measure(cell: Cell) -> Growth:
    """Submit a cell's run and work on it, in separate processes."""
    command = [sys.executable, "-m", "benchmarks.growth_cell"]
    if cell.store != "memory:":
        submit = cell.model_copy(update={"part": "submit"})
        subprocess.run([*command, submit.model_dump_json()], check=True)
    done = subprocess.run([*command, cell.model_dump_json()], check=True, stdout=subprocess.PIPE)
    return Growth.model_validate_json(done.stdout)


async def measure_series(series: Series, size: int) -> Growth:
    """Measure one size."""
    with TemporaryDirectory() as folder:
        cell = Cell(concepts=size, store=series.url.format(folder))
        if not series.http:
            return measure(cell)
        # Latencies up to 0.3 s: slow enough that the limit of calls is reached.
        async with simulated_provider(["--speed", "100"], Path(folder)) as llm:
            over_http = cell.model_copy(update={"base_url": llm.base_url})
            return await asyncio.to_thread(measure, over_http)


async def measure_in_flight(calls: int, hold: float) -> tuple[Growth, int]:
    """Keep ``calls`` in flight at once; also returns the peak at the simulator."""
    with TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/growth.db"
        async with simulated_provider(["--latency", f"tutorial={hold}"], Path(folder)) as llm:
            cell = Cell(concepts=calls, store=store, base_url=llm.base_url, unbounded=True)
            return await asyncio.to_thread(measure, cell), (await llm.stats()).calls_peak


def allow_files(count: int) -> None:
    """Raise the limit of open files for child processes.

    Raises:
        PartUnavailable: the hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise PartUnavailable(f"{count} open files are needed, but the hard limit is {hard}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def shown(found: Sequence[Measured]) -> str:
    """A table of all sizes of all series, with medians and their spread."""
    rows: list[list[str]] = []
    for name in dict.fromkeys(one.series for one in found):
        growths = [one.growth for one in found if one.series == name]
        for size in dict.fromkeys(growth.concepts for growth in growths):
            runs = [growth for growth in growths if growth.concepts == size]
            rows.append(
                [
                    name,
                    str(size),
                    median_text([one.cpu_per_concept * 1e3 for one in runs]),
                    median_text([one.peak_less_roadmap / _MIB for one in runs], 0),
                    median_text([one.roadmap / _MIB for one in runs], 0),
                    median_text([one.lag_p99 * 1e3 for one in runs], 0),
                ]
            )
    head = ["", "concepts", "CPU ms per concept", "peak without roadmap MiB", "roadmap MiB"]
    return table([*head, "loop lag p99 ms"], rows)


def ratios(
    found: Sequence[Measured], series: str, size: int, of: Callable[[Growth], float]
) -> list[float]:
    """A figure at ``size`` ÷ that of the smallest size, in the same round."""
    rounds = [one for one in found if one.series == series]
    smallest = min(one.growth.concepts for one in rounds)
    base = {one.round: of(one.growth) for one in rounds if one.growth.concepts == smallest}
    return [of(one.growth) / base[one.round] for one in rounds if one.growth.concepts == size]


def targets(found: Sequence[Measured], all_series: Sequence[Series]) -> list[Target]:
    """Targets for each size of the judged series, relative to the smallest."""
    return [
        Target(f"{series.name}: {what} at {size} ÷ at {series.sizes[0]}", ratio, most=FLAT)
        for series in all_series
        if series.judged
        for size in series.sizes[1:]
        for what, ratio in (
            ("CPU per concept", median(ratios(found, series.name, size, _cpu))),
            ("peak without roadmap", median(ratios(found, series.name, size, _memory))),
        )
    ]


def _cpu(growth: Growth) -> float:
    return growth.cpu_per_concept


def _memory(growth: Growth) -> float:
    return growth.peak_less_roadmap


def _sizes(_ctx: click.Context, _param: click.Parameter, text: str) -> list[int]:
    try:
        return sorted({int(one) for one in text.split(",") if one})
    except ValueError:
        raise click.BadParameter("give numbers separated by commas") from None


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--sizes",
    callback=_sizes,
    default="1000,10000,100000",
    show_default=True,
    help="Concepts of runs with answers from the same process; empty for none.",
)
@click.option(
    "--http-sizes",
    callback=_sizes,
    default="1000,10000",
    show_default=True,
    help="Concepts of runs with answers over HTTP; empty for none.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(0, 20_000),
    default=10_000,
    show_default=True,
    help="Concurrent calls of the last run; 0 skips it.",
)
@click.option(
    "--hold",
    type=float,
    default=90.0,
    show_default=True,
    help="Latency of its calls in seconds; all calls must start within this time.",
)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all runs."
)
def main(
    rounds: int,
    sizes: list[int],
    http_sizes: list[int],
    in_flight: int,
    hold: float,
    json_file: Path | None,
) -> None:
    """Run the benchmark."""
    sqlite = "sqlite:///{}/growth.db"
    all_series = [
        Series("SQLite", sqlite, sizes),
        Series("memory store", "memory:", sizes, judged=False),
        Series("SQLite, HTTP", sqlite, http_sizes, http=True),
    ]
    allow_files(in_flight + _FILES)
    found: list[Measured] = []
    for number in range(rounds):
        for series in all_series:
            for size in series.sizes:
                growth = asyncio.run(measure_series(series, size))
                found.append(Measured(series=series.name, round=number, growth=growth))
                click.echo(f"round {number + 1}: {series.name}, {size}", err=True)
    if found:
        click.echo(f"one run, {LIMIT} calls at once\n")
        click.echo(shown(found))
    judged = targets(found, all_series)
    measured: dict[str, object] = {"runs": [one.model_dump() for one in found]}
    if in_flight:
        growth, peak = asyncio.run(measure_in_flight(in_flight, hold))
        each = (growth.peak_less_roadmap - growth.before) / in_flight / 1024
        click.echo(
            f"\n{in_flight} calls in flight on one process: the simulator saw {peak} at once; "
            f"{each:.0f} KiB per call, loop lag p99 {growth.lag_p99 * 1e3:.0f} ms"
        )
        judged.append(Target("peak of calls in flight", peak, least=in_flight))
        measured["in_flight"] = {"seen": peak, "growth": growth.model_dump()}
    sys.exit(conclude(judged, measured, json_file))


if __name__ == "__main__":
    main()
