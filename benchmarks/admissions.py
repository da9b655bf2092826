"""The cost of an admission by ``global``: ``python -m benchmarks.admissions``.

A fixed number of calls of sixteen runs always waits for one of eight permits. An admitted call
releases its permit immediately and requests the next one. Per admission, the benchmark reports the
processor time of the worker process, the processor time of Valkey, and the commands that Valkey
received. The cost must not grow with the number of waiters. Several processes share one Valkey,
each with its own waiters.

The time that a call waits is not measured; waiting is the purpose of the strategy.
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
from paceline import App, Done, RedisSettings, Settings, Strategy, Work
from paceline.testing.servers import Valkey
from paceline_adapters.bench.quantiles import median_text
from pydantic import SecretStr

from benchmarks.targets import Target, conclude, table

PERMITS, RUNS = 8, 16
WAITERS = (1, 64, 1000)
ADMISSIONS, WARM_UP = 12_000, 2_000


@dataclass(frozen=True, slots=True)
class Round:
    """One configuration, measured once; all costs are per admission.

    Attributes:
        ledger: ``memory`` or ``redis``.
        processes: number of worker processes that share the ledger.
        waiters: number of waiting calls in each process.
        worker: processor time of all worker processes in microseconds.
        server: processor time of Valkey in microseconds.
        commands: number of commands that Valkey received.
    """

    ledger: str
    processes: int
    waiters: int
    worker: float
    server: float
    commands: float


async def admit(strategy: Strategy, waiters: int, admissions: int) -> float:
    """Admit calls while ``waiters`` others wait; returns the processor time in seconds."""
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
    """The work of one process; returns its processor time in seconds."""
    options: dict[str, dict[str, object]] = {"global": {"concurrency": PERMITS}}
    settings = Settings(strategy=["global"], strategies=options)
    if url:
        settings = settings.model_copy(update={"redis": RedisSettings(url=SecretStr(url))})
    factory = App(settings).factory
    async with AsyncExitStack() as stack:
        ledger = factory.ledger(factory.context())
        stack.push_async_callback(ledger.close)
        strategy = factory.strategy(factory.context(ledger=lambda: ledger))
        stack.push_async_callback(strategy.close)
        return await admit(strategy, waiters, admissions)


def _run(url: str, waiters: int, admissions: int) -> float:
    return asyncio.run(_process(url, waiters, admissions))


def measure(url: str, *, processes: int, waiters: int) -> Round:
    """Measure one configuration; an empty URL means the memory ledger."""
    client: Any = redis.Redis.from_url(url) if url else None
    if client is not None:
        client.flushall()
    before = _server_load(client)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        share = ADMISSIONS // processes
        times = pool.starmap(_run, [(url, waiters, share)] * processes)
    commands, server = (now - then for now, then in zip(_server_load(client), before, strict=True))
    # The server's counters include the warm-up.
    total = ADMISSIONS + processes * WARM_UP
    return Round(
        ledger="redis" if url else "memory",
        processes=processes,
        waiters=waiters,
        worker=sum(times) / ADMISSIONS * 1e6,
        server=server / total * 1e6,
        commands=commands / total,
    )


def _server_load(client: Any) -> tuple[float, float]:
    """Commands that the server received, and its processor time in seconds."""
    if client is None:
        return 0.0, 0.0
    # Commands called by scripts are counted separately; these are sent by clients.
    sent = {"cmdstat_evalsha", "cmdstat_eval", "cmdstat_subscribe", "cmdstat_ping"}
    counted = client.info("commandstats")
    cpu = client.info("cpu")
    calls = sum(counted[name]["calls"] for name in sent if name in counted)
    return float(calls), float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def shown(rounds: Sequence[Round]) -> str:
    """A table of medians with their spread."""
    configurations = dict.fromkeys((one.ledger, one.processes, one.waiters) for one in rounds)
    rows: list[list[str]] = []
    for configuration in configurations:
        ledger, processes, waiters = configuration
        found = [one for one in rounds if (one.ledger, one.processes, one.waiters) == configuration]
        server = median(one.server for one in found)
        rows.append(
            [
                f"{ledger}, {processes} process{'es' * (processes > 1)}, {waiters} waiting",
                median_text([one.worker for one in found], 0),
                median_text([one.server for one in found], 0) if server else "",
                median_text([one.commands for one in found], 2) if server else "",
                f"{1e6 / server:.0f}" if server else "",
            ]
        )
    head = ["", "worker µs", "Valkey µs", "commands", "per second and Valkey"]
    return table(head, rows)


def growth(rounds: Sequence[Round]) -> list[Target]:
    """Cost with the most waiters ÷ cost with a few, in the same rounds."""
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
        found.append(
            Target(
                f"cost with {WAITERS[2]} waiters ÷ with {WAITERS[1]} ({ledger})", ratio, most=1.25
            )
        )
    return found


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all rounds."
)
def main(rounds: int, json_file: Path | None) -> None:
    """Run the benchmark."""
    found: list[Round] = []
    with Valkey() as server:
        for _ in range(rounds):
            for url in ("", server.url):
                found += [measure(url, processes=1, waiters=waiters) for waiters in WAITERS]
            found.append(measure(server.url, processes=4, waiters=WAITERS[1]))
    click.echo(f"{ADMISSIONS} admissions, {rounds} rounds; all values are per admission\n")
    click.echo(shown(found))
    sys.exit(conclude(growth(found), {"rounds": [asdict(one) for one in found]}, json_file))


if __name__ == "__main__":
    main()
