"""A small roadmap among big ones: ``python -m benchmarks.fairness``.

Ten roadmaps of 300 concepts keep four worker processes busy. Roadmaps of 5 concepts come one
after another, each as soon as the one before is done. The provider takes a fixed number of calls
at once and refuses the others. Told is the *slowdown*: seconds until a small roadmap is complete,
divided by those that it needs alone with its share (an eleventh) of the calls.

What it does not show: a provider that slows down instead of refusing, and what small roadmaps
wait for a free slot of their executor: here slots are free.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from paceline.client.client import Client
from paceline.client.follow import follow
from paceline.plugins.registry import Plugins
from paceline.roadmaps.model import Roadmap
from paceline_adapters.bench.environments import Environments, provider
from paceline_adapters.bench.quantiles import percentile
from paceline_adapters.bench.workload import synthetic

from benchmarks.altered_strategies import installed
from benchmarks.fleet import WORKERS, settings_of, working
from benchmarks.targets import Target, conclude, table

BIG, CONCEPTS, SMALL = 10, 300, 5
#: Calls that the provider takes at once: each of the eleven has a share of four.
CAPACITY = 44
SHARE = CAPACITY // (BIG + 1)
SPEED = 20.0
CASES: dict[str, dict[str, str]] = {
    "unbounded": {"strategy": "unbounded"},
    "per-roadmap": {
        "strategy": "per-roadmap",
        "strategies.per-roadmap.limit": str(SHARE),
    },
    "global, first come": {
        "strategy": "first-come",
        "strategies.first-come.concurrency": str(CAPACITY),
    },
    "global": {"strategy": "global", "strategies.global.concurrency": str(CAPACITY)},
}
ALONE = {"strategy": "global", "strategies.global.concurrency": str(SHARE)}


@dataclass(frozen=True, slots=True)
class Round:
    """One case.

    Attributes:
        case: which one.
        seconds: of each small roadmap, from its first claim to its end.
    """

    case: str
    seconds: list[float]


async def one_by_one(service: Client, small: Roadmap, number: int) -> list[float]:
    """Generate a roadmap again and again; seconds of each time."""
    seconds: list[float] = []
    for _ in range(number):
        run, _ = await service.submit(small, new=True)
        async for _ in follow(service.store, None, run.run_id):
            pass
        run = await service.store.run(run.run_id)
        if run.finished_at is None or run.started_at is None or run.status != "completed":
            raise click.ClickException(f"a small roadmap ended {run.status}: {run.reason}")
        seconds.append((run.finished_at - run.started_at).total_seconds())
    return seconds


async def measure(
    case: str, given: dict[str, str], places: Environments, *, big: Sequence[Roadmap], times: int
) -> Round:
    """Generate small roadmaps among big ones."""
    plugins = Plugins()
    (small,) = synthetic(1, SMALL).roadmaps
    limit = ["--max-concurrency", str(CAPACITY), "--speed", f"{SPEED:g}"]
    async with (
        places.place("postgresql", redis=True) as place,
        provider(limit, place.folder) as llm,
    ):
        settings = settings_of({"run.grace": "0.1", **given}, place, llm, plugins)
        async with working(settings, plugins) as service:
            for roadmap in big:
                await service.submit(roadmap, new=True)
            # One that is not counted, in which the big ones get going.
            await one_by_one(service, small, 1)
            sys.stderr.write(f"  {case}: {times} small roadmaps\n")
            return Round(case, await one_by_one(service, small, times))


def shown(rounds: Sequence[Round], alone: Round) -> str:
    """Slowdowns, against the median of being alone."""
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
    """A small roadmap must end close to the time that it needs with its share alone."""
    (fair,) = (one for one in rounds if one.case == "global")
    slower = percentile(fair.seconds, 0.5) / percentile(alone.seconds, 0.5)
    return [Target("slowdown under global", slower, most=1.25)]


@click.command(help=__doc__)
@click.option("--times", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all rounds."
)
def main(times: int, json_file: Path | None) -> None:
    """See the module."""
    big = synthetic(BIG, CONCEPTS).roadmaps
    with installed(), Environments(["postgresql"], redis=True) as places:
        alone = asyncio.run(measure("alone with its share", ALONE, places, big=(), times=times))
        found = [
            asyncio.run(measure(case, given, places, big=big, times=times))
            for case, given in CASES.items()
        ]
    click.echo(
        f"{times} roadmaps of {SMALL} concepts beside {BIG} of {CONCEPTS}; {WORKERS} worker "
        f"processes; the provider takes {CAPACITY} calls at once\n"
    )
    click.echo(shown(found, alone))
    measured = {"alone": asdict(alone), "rounds": [asdict(one) for one in found]}
    sys.exit(conclude(targets(found, alone), measured, json_file))


if __name__ == "__main__":
    main()
