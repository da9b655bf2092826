"""How much of a provider's quota is used: ``python -m benchmarks.quota``.

Four worker processes with the strategy ``global`` share one quota, which the simulator counts
over a sliding minute: a call is charged, at its admission, its prompt and the longest answer it
may have. There is more work than the quota carries all the time. The first minute, in which
nothing has been used before, does not count.

What it does not show: a provider that counts otherwise, or other users of the same key.
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
from paceline.plugins.registry import Plugins
from paceline_adapters.bench.environments import Environments, provider
from paceline_adapters.bench.quantiles import told
from paceline_adapters.demo.command import example_roadmaps

from benchmarks.altered_strategies import installed
from benchmarks.fleet import WORKERS, settings_of, working
from benchmarks.targets import Target, conclude, table

MINUTE = 60.0
#: Calls that may be out at once, and what the calls' latencies are divided by.
CONCURRENCY, SPEED = 80, 5.0
#: Seconds that the workers have to begin.
_START = 10.0
#: Quotas per minute.
REQUESTS, TOKENS = 600, 2_000_000
CASES = {
    "requests": {"strategies.global.requests_per_minute": str(REQUESTS)},
    "tokens": {"strategies.global.tokens_per_minute": str(TOKENS)},
    "tokens, estimates thrice too high": {
        "strategy": "thrice",
        "strategies.thrice.tokens_per_minute": str(TOKENS),
    },
}


@dataclass(frozen=True, slots=True)
class Call:
    """A line of the provider's log: when it was asked, whether it let the call in, its charge."""

    at: float
    admitted: bool
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Round:
    """One case, measured once.

    Attributes:
        case: which one.
        used: share of the quota that was used, minute by minute, from the second on.
        refused: share of the calls that were refused meanwhile.
        highest: the fullest sliding minute ÷ the quota.
        demand: calls a minute that the concurrency would carry ÷ those that were admitted.
    """

    case: str
    used: list[float]
    refused: float
    highest: float
    demand: float


def calls(log: Path) -> list[Call]:
    """The provider's log, in the order of asking."""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    found = [
        Call(one["started"], one["status"] == 200, one["tokens"] or 0, one["drawn"] or 0.0)
        for one in entries
        if one["status"] in {200, 429} or one["tokens"]
    ]
    return sorted(found, key=lambda call: call.at)


def figures(case: str, found: Sequence[Call], minutes: int) -> Round:
    """What the calls of one round come to."""
    quota, charges = (REQUESTS, False) if case == "requests" else (TOKENS, True)
    admitted = [(call.at, call.tokens if charges else 1) for call in found if call.admitted]
    begun = admitted[0][0]
    minute = [
        sum(cost for at, cost in admitted if begun + n * MINUTE <= at < begun + (n + 1) * MINUTE)
        for n in range(1, minutes)
    ]
    counted = [one for one in found if begun + MINUTE <= one.at < begun + minutes * MINUTE]
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
    """The most that any sliding minute holds."""
    highest = held = oldest = 0
    for at, cost in admitted:
        held += cost
        while admitted[oldest][0] <= at - MINUTE:
            held -= admitted[oldest][1]
            oldest += 1
        highest = max(highest, held)
    return highest


async def measure(case: str, places: Environments, minutes: int) -> Round:
    """Let the workers work for so many minutes, and read the provider's log."""
    plugins = Plugins()
    # Thrice what the quota lets through, so that there is always more to do.
    number = 3 * minutes * REQUESTS // 3 // 28
    work = list(islice(cycle(example_roadmaps()), number))
    limit = ["--rpm", str(REQUESTS)] if case == "requests" else ["--tpm", str(TOKENS)]
    async with (
        places.place("postgresql", redis=True) as place,
        provider([*limit, "--speed", f"{SPEED:g}"], place.folder) as llm,
    ):
        given = {"strategy": "global", **CASES[case]}
        given[f"strategies.{given['strategy']}.concurrency"] = str(CONCURRENCY)
        async with working(settings_of(given, place, llm, plugins), plugins) as service:
            for roadmap in work:
                await service.submit(roadmap, new=True)
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
    """See the module."""
    with installed(), Environments(["postgresql"], redis=True) as places:
        found = [asyncio.run(measure(case, places, minutes)) for case in cases or CASES]
    click.echo(
        f"{WORKERS} worker processes; quota {REQUESTS} requests or {TOKENS} tokens a minute; "
        f"minutes 2 to {minutes}\n"
    )
    rows = [
        [
            one.case,
            told(one.used, 3),
            f"{one.refused:.2%}",
            f"{one.highest:.3f}",
            f"{one.demand:.2f}",
        ]
        for one in found
    ]
    click.echo(table(["quota of", "used", "refused", "fullest minute", "demand"], rows))
    targets = [
        target
        for one in found
        for target in (
            Target(f"share of the quota used ({one.case})", median(one.used), least=0.97),
            Target(f"share of calls refused ({one.case})", one.refused, most=0.005),
            Target(f"fullest sliding minute ({one.case})", one.highest, most=1.0),
        )
    ]
    sys.exit(conclude(targets, {"rounds": [asdict(one) for one in found]}, json_file))


if __name__ == "__main__":
    main()
