"""What an admission by ``global`` costs: ``python -m benchmarks.admissions``.

So many calls wait all the time for one of eight permits, in flows of sixteen runs; who is let in
gives its permit back at once and another comes. Told are, per admission: processor time of the
worker process, of Valkey, and the commands that Valkey was sent. The cost must not grow with the
number of those who wait. Processes share one Valkey, each with its own waiters.

What it does not show: seconds that a call waits, which is what it is there for.
"""

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import redis
from paceline.contracts.ledger import Ledger
from paceline.contracts.strategy import Strategy
from paceline.contracts.work import Done, Work
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.runtime.parts import make_strategy
from paceline.settings.model import RedisSettings, Settings
from paceline.testing.servers import Valkey
from paceline_adapters.bench.quantiles import told
from pydantic import SecretStr

from benchmarks.targets import Target, conclude, table

PERMITS, RUNS = 8, 16
WAITERS = (1, 64, 1000)
ADMISSIONS, WARM_UP = 12_000, 2_000


@dataclass(frozen=True, slots=True)
class Round:
    """One way, measured once; all costs are per admission.

    Attributes:
        ledger: ``memory`` or ``redis``.
        processes: how many share it.
        waiters: calls that wait in each of them.
        worker: microseconds of processor time, of all worker processes together.
        server: microseconds of Valkey's processor time.
        commands: commands that Valkey was sent.
    """

    ledger: str
    processes: int
    waiters: int
    worker: float
    server: float
    commands: float


async def admit(strategy: Strategy, waiters: int, admissions: int) -> float:
    """Let so many in, while so many wait all the time; seconds of processor time."""
    admitted, due = 0, asyncio.Event()

    async def caller(number: int) -> None:
        nonlocal admitted
        work = Work(
            level="call",
            run_id=f"run-{number % RUNS}",
            roadmap_id="roadmap",
            concept_id="concept",
            key="openai:gpt",
            tokens=1000,
        )
        while True:
            permit = await strategy.admit(work)
            admitted += 1
            if admitted in {WARM_UP, WARM_UP + admissions}:
                due.set()
            await asyncio.sleep(0)
            permit.release(Done(1000))

    callers = [asyncio.create_task(caller(number)) for number in range(waiters + PERMITS)]
    await due.wait()
    due.clear()
    before = time.process_time()
    await due.wait()
    seconds = time.process_time() - before
    for task in callers:
        task.cancel()
    await asyncio.wait(callers)
    return seconds


async def _process(url: str, waiters: int, admissions: int) -> float:
    """One process's part; the processor time that it took, in seconds."""
    options: dict[str, dict[str, object]] = {"global": {"concurrency": PERMITS}}
    settings = Settings(strategy=["global"], strategies=options)
    if url:
        settings = settings.model_copy(update={"redis": RedisSettings(url=SecretStr(url))})
    plugins = Plugins()
    async with AsyncExitStack() as stack:
        plain = Context(settings=settings, plugins=plugins)
        ledger: Ledger = plugins.ledger(settings.ledger_kind).make({}, plain, "ledger")
        stack.push_async_callback(ledger.close)
        context = Context(settings=settings, plugins=plugins, ledger=lambda: ledger)
        strategy = make_strategy(settings, plugins, context)
        stack.push_async_callback(strategy.close)
        return await admit(strategy, waiters, admissions)


def _run(url: str, waiters: int, admissions: int) -> float:
    return asyncio.run(_process(url, waiters, admissions))


def measure(url: str, *, processes: int, waiters: int) -> Round:
    """Measure one way; with an empty URL in memory."""
    client: Any = redis.Redis.from_url(url) if url else None
    if client is not None:
        client.flushall()
    before = _served(client)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        share = ADMISSIONS // processes
        times = pool.starmap(_run, [(url, waiters, share)] * processes)
    commands, server = (now - then for now, then in zip(_served(client), before, strict=True))
    # The server knows no warm-up.
    all_of_them = ADMISSIONS + processes * WARM_UP
    return Round(
        ledger="redis" if url else "memory",
        processes=processes,
        waiters=waiters,
        worker=sum(times) / ADMISSIONS * 1e6,
        server=server / all_of_them * 1e6,
        commands=commands / all_of_them,
    )


def _served(client: Any) -> tuple[float, float]:
    """Commands that the server was sent, and seconds of its processor time."""
    if client is None:
        return 0.0, 0.0
    # What scripts call inside is counted under its own name: these are what clients send.
    sent = {"cmdstat_evalsha", "cmdstat_eval", "cmdstat_subscribe", "cmdstat_ping"}
    counted = client.info("commandstats")
    cpu = client.info("cpu")
    calls = sum(counted[name]["calls"] for name in sent if name in counted)
    return float(calls), float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def shown(rounds: Sequence[Round]) -> str:
    """Medians with their spread."""
    ways = dict.fromkeys((one.ledger, one.processes, one.waiters) for one in rounds)
    rows: list[list[str]] = []
    for way in ways:
        mine = [one for one in rounds if (one.ledger, one.processes, one.waiters) == way]
        ledger, processes, waiters = way
        server = median(one.server for one in mine)
        rows.append(
            [
                f"{ledger}, {processes} process{'es' * (processes > 1)}, {waiters} waiting",
                told([one.worker for one in mine], 0),
                told([one.server for one in mine], 0) if server else "",
                told([one.commands for one in mine], 2) if server else "",
                f"{1e6 / server:.0f}" if server else "",
            ]
        )
    head = ["", "worker µs", "Valkey µs", "commands", "a second and Valkey"]
    return table(head, rows)


def growth(rounds: Sequence[Round]) -> list[Target]:
    """Cost with the most waiters ÷ with a few, in turns of the same round."""
    found: list[Target] = []
    for ledger in ("memory", "redis"):
        costs = {
            waiters: median(
                one.worker + one.server
                for one in rounds
                if (one.ledger, one.processes, one.waiters) == (ledger, 1, waiters)
            )
            for waiters in WAITERS[1:]
        }
        ratio = costs[WAITERS[2]] / costs[WAITERS[1]]
        found.append(Target(f"{WAITERS[2]} waiting ÷ {WAITERS[1]} ({ledger})", ratio, most=1.25))
    return found


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all rounds."
)
def main(rounds: int, json_file: Path | None) -> None:
    """See the module."""
    found: list[Round] = []
    with Valkey() as server:
        for _ in range(rounds):
            for url in ("", server.url):
                found += [measure(url, processes=1, waiters=waiters) for waiters in WAITERS]
            found.append(measure(server.url, processes=4, waiters=WAITERS[1]))
    click.echo(f"{ADMISSIONS} admissions, {rounds} rounds; all per admission\n")
    click.echo(shown(found))
    sys.exit(conclude(growth(found), {"rounds": [asdict(one) for one in found]}, json_file))


if __name__ == "__main__":
    main()
