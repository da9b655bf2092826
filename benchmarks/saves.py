"""The gain of group commits in the store: ``python -m benchmarks.saves``.

227 writers save one artifact each at the same time over 10 connections: once with the store's group
commit, and once with one commit per artifact. Rounds are interleaved and the order alternates, so a
slower machine affects both alike. PostgreSQL runs with ``fsync``; the transactions are counted by
the transaction ids that it assigned.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
from paceline.testing.servers import Postgres
from paceline_adapters.bench.quantiles import median_text

from benchmarks.concurrent_saves import (
    COMMIT_MODES,
    CONNECTIONS,
    ConcurrentSaves,
    open_concurrent_saves,
)
from benchmarks.targets import Target, conclude, table


@dataclass(frozen=True, slots=True)
class Round:
    """One mode, measured once.

    Attributes:
        store: the database.
        way: one of ``COMMIT_MODES``.
        artifacts: number of saved artifacts.
        seconds: time from the first writer's start to the last one's end.
        transactions: transactions of the server; ``None`` for SQLite.
    """

    store: str
    way: str
    artifacts: int
    seconds: float
    transactions: int | None

    @property
    def rate(self) -> float:
        """Artifacts a second."""
        return self.artifacts / self.seconds


async def measure(
    store: str, saves: ConcurrentSaves, rounds: int, transactions: Callable[[], int] | None
) -> list[Round]:
    """Measure both modes, ``rounds`` times each."""
    found: list[Round] = []
    for number in range(rounds):
        for way in COMMIT_MODES if number % 2 else reversed(COMMIT_MODES):
            before = transactions() if transactions else 0
            started = time.perf_counter()
            await saves.save(way)
            seconds = time.perf_counter() - started
            made = transactions() - before if transactions else None
            found.append(Round(store, way, len(saves.writers), seconds, made))
    return found


def on_postgresql(rounds: int) -> list[Round]:
    """Measure on a PostgreSQL server that is started for it."""

    async def run(server: Postgres) -> list[Round]:
        def transactions() -> int:
            # The next transaction id; this query uses none.
            return int(server.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())"))

        async with open_concurrent_saves(server.create_database("saves")) as saves:
            return await measure("postgresql", saves, rounds, transactions)

    # Autovacuum would use transaction ids too.
    with Postgres(fsync=True, settings={"autovacuum": "off"}) as server:
        return asyncio.run(run(server))


def on_sqlite(rounds: int) -> list[Round]:
    """Measure on an SQLite file; SQLite has one writer regardless of the pool."""

    async def run(folder: str) -> list[Round]:
        async with open_concurrent_saves(f"sqlite:///{folder}/saves.db") as saves:
            return await measure("sqlite", saves, rounds, None)

    with TemporaryDirectory() as folder:
        return asyncio.run(run(folder))


def ratios(rounds: list[Round], store: str, of: Callable[[Round], float]) -> list[float]:
    """A figure of ``grouped`` ÷ that of ``each``, round by round."""
    by_way = {
        way: [one for one in rounds if (one.store, one.way) == (store, way)] for way in COMMIT_MODES
    }
    return [
        of(ours) / of(theirs)
        for ours, theirs in zip(by_way["grouped"], by_way["each"], strict=True)
    ]


def shown(rounds: list[Round]) -> str:
    """All figures as medians with their spread."""
    rows: list[list[str]] = []
    for store in dict.fromkeys(one.store for one in rounds):
        for way in COMMIT_MODES:
            mine = [one for one in rounds if (one.store, one.way) == (store, way)]
            counted = [one.transactions for one in mine if one.transactions is not None]
            rows.append(
                [
                    f"{store} {way}",
                    median_text([one.rate for one in mine], 0),
                    median_text(counted, 0) if counted else "",
                ]
            )
        rows.append(
            [f"{store} ratio", median_text(ratios(rounds, store, lambda one: one.rate)), ""]
        )
    return table(["", "artifacts/s", "transactions"], rows)


def targets(rounds: list[Round]) -> list[Target]:
    """The targets, on PostgreSQL."""
    fewer = [1 / ratio for ratio in ratios(rounds, "postgresql", lambda one: one.transactions or 0)]
    faster = ratios(rounds, "postgresql", lambda one: one.rate)
    return [
        Target("times fewer transactions than with one commit each", median(fewer), least=5),
        Target("times the artifacts/s of one commit each", median(faster), least=3),
    ]


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all rounds."
)
def main(rounds: int, json_file: Path | None) -> None:
    """Run the benchmark."""
    found = [*on_postgresql(rounds), *on_sqlite(rounds)]
    click.echo(f"{found[0].artifacts} writers, {CONNECTIONS} connections, {rounds} rounds\n")
    click.echo(shown(found))
    measured = {"rounds": [{**asdict(one), "rate": one.rate} for one in found]}
    sys.exit(conclude(targets(found), measured, json_file))


if __name__ == "__main__":
    main()
