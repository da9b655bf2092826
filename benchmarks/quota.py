"""The used share of a provider's quota: ``python -m benchmarks.quota``.

Four worker processes with the strategy ``global`` share one quota. The simulator counts it over a
sliding minute and charges the prompt and the maximum length of the answer at admission. There is
always more work than the quota allows. The first minute is not counted, because it starts with an
unused quota.

Not measured: providers that count differently, and other users of the same key.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import click
from paceline.planning.stacks import Part
from paceline_adapters.bench.environments import Environments, simulated_provider
from paceline_adapters.bench.quantiles import median_text
from paceline_adapters.demo.command import example_roadmaps

from benchmarks.altered_strategies import installed
from benchmarks.fleet import WORKERS, open_fleet
from benchmarks.targets import Target, conclude, table

MINUTE = 60.0
#: Limit of concurrent calls, and factor by which latencies are divided.
CONCURRENCY, SPEED = 80, 5.0
#: Seconds for the workers to start.
_START = 10.0
#: Quotas per minute.
REQUESTS, TOKENS = 600, 2_000_000
CASES = {
    "requests": {"strategies.global.requests_per_minute": str(REQUESTS)},
    "tokens": {"strategies.global.tokens_per_minute": str(TOKENS)},
    "tokens, estimates three times too high": {
        "strategy": "overestimate",
        "strategies.overestimate.tokens_per_minute": str(TOKENS),
    },
}


@dataclass(frozen=True, slots=True)
class Call:
    """A line of the provider's log: arrival, admission, charged tokens and latency."""

    at: float
    admitted: bool
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Round:
    """One case, measured once.

    Attributes:
        case: name of the case.
        used: used share of the quota in each minute, from the second minute on.
        refused: share of rejected calls in these minutes.
        highest: usage of the fullest sliding minute ÷ the quota.
        demand: possible calls per minute at the concurrency ÷ admitted calls per minute.
    """

    case: str
    used: list[float]
    refused: float
    highest: float
    demand: float


def calls(log: Path) -> list[Call]:
    """The provider's log, in the order of arrival."""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    found = [
        Call(one["started"], one["status"] == 200, one["tokens"] or 0, one["drawn"] or 0.0)
        for one in entries
        if one["status"] in {200, 429} or one["tokens"]
    ]
    return sorted(found, key=lambda call: call.at)


def figures(case: str, found: Sequence[Call], minutes: int) -> Round:
    """The figures of one round."""
    quota, charges = (REQUESTS, False) if case == "requests" else (TOKENS, True)
    admitted = [(call.at, call.tokens if charges else 1) for call in found if call.admitted]
    start = admitted[0][0]
    minute = [
        sum(cost for at, cost in admitted if start + n * MINUTE <= at < start + (n + 1) * MINUTE)
        for n in range(1, minutes)
    ]
    counted = [one for one in found if start + MINUTE <= one.at < start + minutes * MINUTE]
    refused = sum(not call.admitted for call in counted)
    mean = sum(call.seconds for call in counted) / max(1, len(counted) - refused)
    rate = (len(counted) - refused) / (minutes - 1)
    return Round(
        case,
        [used / quota for used in minute],
        refused / len(counted),
        fullest(admitted) / quota,
        CONCURRENCY / mean * MINUTE / rate,
    )


def fullest(admitted: Sequence[tuple[float, int]]) -> int:
    """The maximum usage in any sliding minute."""
    highest = held = oldest = 0
    for at, cost in admitted:
        held += cost
        while admitted[oldest][0] <= at - MINUTE:
            held -= admitted[oldest][1]
            oldest += 1
        highest = max(highest, held)
    return highest


async def measure(case: str, environments: Environments, minutes: int) -> Round:
    """Run the workers for this number of minutes, then read the provider's log."""
    # Three times the work that the quota allows, so that there is always work.
    number = 3 * minutes * REQUESTS // 3 // 28
    work = list(islice(cycle(example_roadmaps()), number))
    limit = ["--rpm", str(REQUESTS)] if case == "requests" else ["--tpm", str(TOKENS)]
    async with (
        environments.environment(Part("postgresql"), redis=True) as environment,
        simulated_provider([*limit, "--speed", f"{SPEED:g}"], environment.folder) as llm,
    ):
        settings = {"strategy": "global", **CASES[case]}
        settings[f"strategies.{settings['strategy']}.concurrency"] = str(CONCURRENCY)
        async with open_fleet(settings, environment, llm) as client:
            for roadmap in work:
                await client.submit(roadmap, new=True)
            sys.stderr.write(f"  {case}: {minutes} minutes from now\n")
            await asyncio.sleep(_START + minutes * MINUTE)
        found = calls(llm.log)
    return figures(case, found, minutes)


@click.command(help=__doc__)
@click.option("--minutes", type=click.IntRange(2), default=6, show_default=True)
@click.option("--case", "cases", multiple=True, type=click.Choice(list(CASES)))
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all rounds."
)
def main(minutes: int, cases: Sequence[str], json_file: Path | None) -> None:
    """Run the benchmark."""
    with installed(), Environments([Part("postgresql")], redis=True) as environments:
        found = [asyncio.run(measure(case, environments, minutes)) for case in cases or CASES]
    click.echo(
        f"{WORKERS} worker processes; quota {REQUESTS} requests or {TOKENS} tokens per minute; "
        f"minutes 2 to {minutes}\n"
    )
    rows = [
        [
            one.case,
            median_text(one.used, 3),
            f"{one.refused:.2%}",
            f"{one.highest:.3f}",
            f"{one.demand:.2f}",
        ]
        for one in found
    ]
    click.echo(table(["quota of", "used", "rejected", "fullest minute", "demand"], rows))
    targets = [
        target
        for one in found
        for target in (
            Target(f"used share of the quota ({one.case})", median(one.used), least=0.97),
            Target(f"share of calls rejected ({one.case})", one.refused, most=0.005),
            Target(f"fullest sliding minute ({one.case})", one.highest, most=1.0),
        )
    ]
    sys.exit(conclude(targets, {"rounds": [asdict(one) for one in found]}, json_file))


if __name__ == "__main__":
    main()
