"""The probes, with a real server, real processes and a real pool."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from paceline import StoreSettings
from paceline.contracts.admission.wait_histogram import bucket_of, quantile, since, total
from paceline.testing.servers import Postgres
from paceline.testing.virtual_time import real_time
from paceline_adapters.bench.probes.postgres import SETTINGS, DatabaseProbe
from paceline_adapters.bench.probes.processes import TreeProbe
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.url import parse_url
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tests.support.eventually import eventually_async


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server with the benchmark's settings."""
    with Postgres(fsync=True, settings=SETTINGS) as it:
        it.execute("CREATE EXTENSION pg_stat_statements")
        yield it


async def connected(server: Postgres, database: str) -> Any:
    return await asyncpg.connect(server.url_of(database, scheme="postgresql"))


@real_time
async def test_transactions_statements_commits_and_lock_waits_are_counted(
    server: Postgres,
) -> None:
    server.create_database("counted")
    server.create_database("another")

    one, other = await connected(server, "counted"), await connected(server, "counted")
    unrelated = await connected(server, "another")
    await one.execute("CREATE TABLE t (x int)")
    async with DatabaseProbe(server, "counted") as probe:
        for number in range(7):
            async with one.transaction():
                await one.execute("INSERT INTO t VALUES ($1)", number)
        for _ in range(5):
            await one.fetchval("SELECT 1")
        await unrelated.fetchval("SELECT 2")
        async with one.transaction():
            await one.execute("LOCK TABLE t")
            waiting = asyncio.create_task(other.execute("INSERT INTO t VALUES (1)"))
            await eventually_async(lambda: "still waiting" in server.log)
        await waiting
    for connection in (one, other, unrelated):
        await connection.close()
    figures = probe.figures
    assert figures.transactions == 7 + 5 + 1 + 1
    assert len(figures.commits) == 7 + 1
    assert all(0 < duration < 5 for duration in figures.commits)
    assert figures.statements == 7 * 3 + 5 + 3 + 1
    assert figures.lock_waits == 1
    assert {sample.connections for sample in figures.samples} == {2}


@real_time
async def test_the_probes_own_connection_is_not_counted(server: Postgres) -> None:
    server.create_database("quiet")

    async with DatabaseProbe(server, "quiet") as probe:
        await eventually_async(lambda: len(probe.figures.samples) > 3)
    figures = probe.figures
    assert {sample.connections for sample in figures.samples} == {0}
    assert (figures.transactions, figures.statements) == (0, 0)


BUSY = """
import subprocess, sys
if len(sys.argv) > 1:
    held = bytearray(80 * 2**20)
    for _ in range(3_000_000):
        pass
    print("used", flush=True)
    sys.stdin.read()
else:
    subprocess.run([sys.executable, __file__, "child"])
"""


@real_time
async def test_memory_and_processor_time_include_children(tmp_path: Any) -> None:
    program = tmp_path / "busy.py"
    program.write_text(BUSY)
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )

    with process:
        assert process.stdout is not None
        async with TreeProbe(process.pid) as probe:
            await asyncio.to_thread(process.stdout.readline)
            await eventually_async(
                lambda: probe.figures.rss_peak > probe.figures.rss_start + 70 * 2**20
            )
    assert 0.05 < probe.figures.cpu < 20


@real_time
async def test_pool_waits_and_timeouts_are_counted(postgres_url: str) -> None:
    settings = StoreSettings(url=SecretStr(postgres_url), pool_timeout=0.2)

    database = Database(parse_url(settings.url), settings, lease=30, size=1, overflow=0)
    read = text("SELECT 1")
    for _ in range(3):
        await database.read(lambda connection: connection.execute(read))
    async with database._engine.connect():
        with pytest.raises(PoolTimeout):
            await database.transaction(lambda connection: connection.execute(read))
    await database.dispose()
    figures = database.figures()
    assert sum(figures.waits.values()) == 3
    assert figures.timeouts == 1


@real_time
async def test_waiting_for_another_writer_counts_as_a_busy_wait(
    tmp_path: Any,
) -> None:
    file = tmp_path / "a.db"
    settings = StoreSettings(url=SecretStr(f"sqlite:///{file}"))

    database = Database(parse_url(settings.url), settings, lease=30, size=2, overflow=0)
    write = text("CREATE TABLE IF NOT EXISTS t (x)")
    await database.write(lambda connection: connection.execute(write))
    assert database.figures().busy == 0
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(database.write(lambda connection: connection.execute(write)))
    await eventually_async(lambda: database.figures().busy == 1)
    assert not waiting.done()
    other.execute("COMMIT")
    other.close()
    await waiting
    await database.write(lambda connection: connection.execute(write))
    await database.dispose()
    assert database.figures().busy == 1


def test_waits_of_processes_add_up_and_keep_their_quantiles() -> None:
    short, long = {bucket_of(0.001): 98}, {bucket_of(2.0): 2}
    both = total([short, long])
    assert quantile(both, 0.5) == pytest.approx(0.001, rel=0.06)
    assert quantile(both, 0.99) == pytest.approx(2.0, rel=0.06)
    assert quantile(since(both, short), 0.01) == pytest.approx(2.0, rel=0.06)
    assert quantile({}, 0.5) is None
