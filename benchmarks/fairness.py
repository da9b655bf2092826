"""The slowdown of a small roadmap among large ones: ``python -m benchmarks.fairness``.

Ten roadmaps of 300 concepts keep four worker processes busy. Roadmaps of 5 concepts are submitted
one after another. The provider accepts a fixed number of concurrent calls and rejects others. The
*slowdown* is the time of a small roadmap ÷ its time alone with its share (one eleventh) of the
calls.

Not measured: providers that slow down instead of rejecting calls, and the wait for a free slot of
the executor (slots are always free here).
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from paceline import Roadmap
from paceline.client.client import Client
from paceline.client.follow import follow
from paceline.planning.stacks import Part
from paceline_adapters.bench.environments import Environments, simulated_provider
from paceline_adapters.bench.quantiles import percentile
from paceline_adapters.bench.workload import synthetic

from benchmarks.altered_strategies import installed
from benchmarks.fleet import WORKERS, open_fleet
from benchmarks.targets import Target, conclude, table

BIG, CONCEPTS, SMALL = 10, 300, 5
#: Concurrent calls that the provider accepts; each of the eleven roadmaps has a share of four.
CAPACITY = 44
SHARE = CAPACITY // (BIG + 1)
SPEED = 20.0
CASES: dict[str, dict[str, str]] = {
    "unbounded": {"strategy": "unbounded"},
    "per-roadmap": {
        "strategy": "per-roadmap",
        "strategies.per-roadmap.limit": str(SHARE),
    },
    "global, first come, first served": {
        "strategy": "fifo",
        "strategies.fifo.concurrency": str(CAPACITY),
    },
    "global": {"strategy": "global", "strategies.global.concurrency": str(CAPACITY)},
}
ALONE = {"strategy": "global", "strategies.global.concurrency": str(SHARE)}


@dataclass(frozen=True, slots=True)
class Round:
    """One case.

    Attributes:
        case: name of the case.
        seconds: time of each small roadmap, from its first claim to its end.
    """

    case: str
    seconds: list[float]


async def one_by_one(client: Client, small: Roadmap, number: int) -> list[float]:
    """Generate a roadmap repeatedly; returns the seconds of each run."""
    seconds: list[float] = []
    for _ in range(number):
        run, _ = await client.submit(small, new=True)
        async for _ in follow(client.store, None, run.run_id):
            pass
        run = await client.store.run(run.run_id)
        if run.finished_at is None or run.started_at is None or run.status != "completed":
            raise click.ClickException(f"a small roadmap ended {run.status}: {run.reason}")
        seconds.append((run.finished_at - run.started_at).total_seconds())
    return seconds


async def measure(
    case: str,
    settings: dict[str, str],
    environments: Environments,
    *,
    big: Sequence[Roadmap],
    times: int,
) -> Round:
    """Generate small roadmaps among large ones."""
    (small,) = synthetic(1, SMALL).roadmaps
    limit = ["--max-concurrency", str(CAPACITY), "--speed", f"{SPEED:g}"]
    async with (
        environments.environment(Part("postgresql"), redis=True) as environment,
        simulated_provider(limit, environment.folder) as llm,
        open_fleet({"run.grace": "0.1", **settings}, environment, llm) as client,
    ):
        for roadmap in big:
            await client.submit(roadmap, new=True)
        # A warm-up during which the large roadmaps start.
        await one_by_one(client, small, 1)
        sys.stderr.write(f"  {case}: {times} small roadmaps\n")
        return Round(case, await one_by_one(client, small, times))


def shown(rounds: Sequence[Round], alone: Round) -> str:
    """A table of slowdowns, relative to the median time alone."""
    unit = percentile(alone.seconds, 0.5)
    rows: list[list[str]] = []
    for one in [alone, *rounds]:
        slower = [seconds / unit for seconds in one.seconds]
        rows.append(
            [
                one.case,
                *(f"{percentile(one.seconds, share):.1f}" for share in (0.5, 0.95)),
                *(f"{percentile(slower, share):.2f}" for share in (0.5, 0.95)),
            ]
        )
    head = ["strategy", "seconds p50", "p95", "slowdown p50", "p95"]
    return table(head, rows)


def targets(rounds: Sequence[Round], alone: Round) -> list[Target]:
    """A small roadmap must take almost the same time as alone with its share."""
    (fair,) = (one for one in rounds if one.case == "global")
    slower = percentile(fair.seconds, 0.5) / percentile(alone.seconds, 0.5)
    return [Target("slowdown under global", slower, most=1.25)]


@click.command(help=__doc__)
@click.option("--times", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all rounds."
)
def main(times: int, json_file: Path | None) -> None:
    """Run the benchmark."""
    big = synthetic(BIG, CONCEPTS).roadmaps
    with installed(), Environments([Part("postgresql")], redis=True) as environments:
        alone = asyncio.run(
            measure("alone with its share", ALONE, environments, big=(), times=times)
        )
        found = [
            asyncio.run(measure(case, settings, environments, big=big, times=times))
            for case, settings in CASES.items()
        ]
    click.echo(
        f"{times} roadmaps of {SMALL} concepts among {BIG} of {CONCEPTS}; {WORKERS} worker "
        f"processes; the provider accepts {CAPACITY} concurrent calls\n"
    )
    click.echo(shown(found, alone))
    measured = {"alone": asdict(alone), "rounds": [asdict(one) for one in found]}
    sys.exit(conclude(targets(found, alone), measured, json_file))


if __name__ == "__main__":
    main()
