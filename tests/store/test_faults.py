"""An unreachable database is one clear line; a short outage is waited for."""

import asyncio
import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from paceline.errors import PartUnavailable, SettingsError
from paceline.testing.contracts.store.inputs import (
    LEASE,
    artifact,
    claimed,
    done,
    must_claim,
    submitted,
)
from paceline.testing.server_process import free_port
from paceline.testing.servers import Postgres
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema
from paceline_adapters.sql.store import SqlStore
from paceline_adapters.sql.url import parse_url
from pydantic import SecretStr
from sqlalchemy import text

from tests.support.databases import PostgresPlace, SqlitePlace, SqlPlace
from tests.support.eventually import eventually_async

PASSWORD = "s3cret/ünd%mehr"
QUOTED = "s3cret%2F%C3%BCnd%25mehr"


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    """A server that tests may stop and kill, if they start it again."""
    with Postgres() as server:
        yield server


@pytest.fixture
def own_place(own_server: Postgres) -> Iterator[PostgresPlace]:
    place = PostgresPlace(own_server, own_server.create_database("own"))
    schema.upgrade(place.settings().url)
    yield place
    own_server.drop_database("own")


async def opening_fails(url: str) -> str:
    """The error of opening: one line without the password."""
    with pytest.raises(PartUnavailable) as failed:
        async with SqlPlace(url).store():
            pass
    with pytest.raises(PartUnavailable) as upgrade_failed:
        await asyncio.to_thread(schema.upgrade, SecretStr(url))
    for error in (failed.value, upgrade_failed.value):
        shown = "".join(traceback.format_exception(error))
        assert PASSWORD not in shown
        assert QUOTED not in shown
        assert "\n" not in str(error)
        assert error.__suppress_context__
    return str(failed.value)


@real_time
async def test_a_wrong_password_is_reported_without_showing_it(postgres_server: Postgres) -> None:
    address = f"127.0.0.1:{postgres_server.port}"
    url = f"postgresql://paceline:{QUOTED}@{address}/postgres"
    assert await opening_fails(url) == (
        f"database 'postgres' at {address}: the user name or the password is wrong"
    )


@real_time
async def test_a_missing_database_is_named(postgres_server: Postgres) -> None:
    url = postgres_server.url_of("nowhere")
    assert (await opening_fails(url)).endswith(
        f"'nowhere' at 127.0.0.1:{postgres_server.port}: the server has no such database"
    )


@real_time
async def test_a_server_that_is_down_is_named() -> None:
    port = free_port()
    error = await opening_fails(f"postgresql://me:{QUOTED}@127.0.0.1:{port}/db")
    assert error == f"database 'db' at 127.0.0.1:{port}: connection refused"
    error = await opening_fails(f"postgresql://me:{QUOTED}@no-such-host.invalid/db")
    assert error == "database 'db' at no-such-host.invalid: its host name is unknown"


@real_time
async def test_a_server_that_does_not_answer_times_out(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"postgresql://me:{QUOTED}@127.0.0.1:{port}/db?connect_timeout=0.1"
    assert (await opening_fails(url)).endswith(": no answer in time")
    server.close()


@real_time
async def test_a_file_that_is_not_a_database_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 100)
    error = await opening_fails(f"sqlite:///{path}")
    assert error == f"database file {path}: it is not an SQLite database"


@real_time
async def test_a_file_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    error = await opening_fails(f"sqlite:///{tmp_path}/missing/paceline.db")
    assert error.endswith(
        "paceline.db: it cannot be opened: does its folder exist, and is it writable?"
    )


@real_time
async def test_a_full_disk_is_reported_and_saved_artifacts_stay(sqlite_place: SqlitePlace) -> None:
    async with sqlite_place.store(pool_limit=1) as store:
        claim = await claimed(store)
        await store.save(claim, artifact("c0"), concept=done("c0"))
        assert isinstance(store, SqlStore)
        full = text("PRAGMA max_page_count = 1")  # no more pages than it has
        await store._database.read(lambda connection: connection.execute(full))
        with pytest.raises(PartUnavailable, match=r"paceline.db: the disk is full$"):
            await store.save(claim, artifact("c1", content="x" * 10**6), concept=done("c1"))
        assert set(await store.artifact_steps(claim.run_id)) == {"c0"}
        assert (await store.run(claim.run_id)).completed == 1


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        (f"mysql://me:{QUOTED}@host/db", "unknown database 'mysql'"),
        (f"postgresql+psycopg://me:{QUOTED}@host/db", "the driver for postgresql must be asyncpg"),
        (f"postgresql://me:{QUOTED}@host:port/db", "not a database URL"),
        (f"postgresql://me:{QUOTED}@host/db?slmode=require", "unknown parameter slmode"),
        (
            f"postgresql://me:{QUOTED}@host/db?connect_timeout=soon",
            "must be a number of seconds, got 'soon'",
        ),
        ("sqlite+pysqlite:///x.db", "the driver for sqlite must be aiosqlite"),
        ("sqlite://", "sqlite needs a file"),
        ("sqlite:///:memory:", "sqlite needs a file"),
        ("sqlite:///x.db?mode=ro", "write it as %3F"),
        ("sqlite://x.db", "must contain only a path"),
    ],
)
def test_a_wrong_url_is_an_error_of_the_settings(url: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=r"store\.url: ") as refused:
        parse_url(SecretStr(url))
    assert fault in str(refused.value)
    assert PASSWORD not in str(refused.value)
    assert QUOTED not in str(refused.value)


def test_a_url_is_converted_for_the_driver() -> None:
    address = parse_url(SecretStr("postgresql://u:p@h:1/d?sslmode=require&connect_timeout=3"))
    assert address.server.dsn == "postgresql://h:1/?sslmode=require"
    assert (address.place, address.server.connect_timeout) == ("database 'd' at h:1", 3.0)
    address = parse_url(SecretStr("sqlite:///x.db"))
    assert address.file == str(Path("x.db").absolute())
    assert str(address.url) == f"sqlite+aiosqlite:///{address.file}"


# -- transient faults ----------------------------------------------------------------------


@real_time
async def test_a_restarted_server_loses_no_save(
    own_place: PostgresPlace,
) -> None:
    async with own_place.store() as store:
        claim = await claimed(store, concepts=40)
        await store.save(claim, artifact("c39"), concept=None)
        saves = [
            asyncio.create_task(store.save(claim, artifact(f"c{n}"), concept=done(f"c{n}")))
            for n in range(39)
        ]
        await asyncio.sleep(0)
        own_place.server.kill()
        restarted = asyncio.create_task(asyncio.to_thread(own_place.server.restart))
        await asyncio.gather(*saves)
        await store.finish(claim, "completed")
        await restarted
        assert len(await store.artifact_steps(claim.run_id)) == 40
        assert (await store.run(claim.run_id)).status == "completed"


@real_time
async def test_connections_that_the_server_closed_are_replaced(own_place: PostgresPlace) -> None:
    async with own_place.store() as store:
        claim = await claimed(store)
        ours = f"FROM pg_stat_activity WHERE datname = '{own_place.database}'"
        close = f"SELECT count(pg_terminate_backend(pid)) {ours} AND pid <> pg_backend_pid()"
        for use in (
            lambda: store.run(claim.run_id),
            lambda: store.save(claim, artifact(), concept=None),
            lambda: store.finish(claim, "completed"),
        ):
            assert int(own_place.execute(close)) > 0
            await use()


@real_time
async def test_a_process_suspended_in_a_transaction_cannot_keep_its_run(
    postgres_place: PostgresPlace,
) -> None:
    lease = 1.0
    async with (
        postgres_place.store("stopped", lease=lease) as stopped,
        postgres_place.store("heir") as heir,
    ):
        run = await submitted(heir)
        claim = await stopped.claim(run.run_id, "stopped", lease=-1.0)
        assert claim is not None
        assert isinstance(stopped, SqlStore)
        lock = text(f"SELECT 1 FROM runs WHERE run_id = '{run.run_id}' FOR SHARE")
        async with stopped._database._writer.connect() as connection:
            await connection.execute(lock)
            # The transaction stays open, as after SIGSTOP. The other worker must not wait for ever.
            assert (await must_claim(heir, run.run_id, "heir")).fence == 2
            await connection.invalidate()


@real_time
async def test_our_connections_have_a_name_and_timeouts(
    postgres_place: PostgresPlace,
) -> None:
    async with postgres_place.store(lease=30.0) as store:
        assert isinstance(store, SqlStore)

        async def setting(name: str) -> str:
            query = text(f"SELECT current_setting('{name}')")
            return str(await store._database.write(lambda connection: connection.scalar(query)))

        assert await setting("application_name") == "paceline"
        assert await setting("lock_timeout") == "10s"
        assert await setting("idle_in_transaction_session_timeout") == "15s"


@real_time
async def test_no_connection_is_held_between_two_calls(postgres_place: PostgresPlace) -> None:
    async with postgres_place.store() as store:
        claim = await claimed(store)
        await store.save(claim, artifact(), concept=done())
        busy = (
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{postgres_place.database}' "
            "AND application_name = 'paceline' AND state <> 'idle'"
        )
        await eventually_async(lambda: postgres_place.execute(busy) == "0")
        assert store.pool().in_use == 0


@real_time
async def test_an_exhausted_pool_is_reported(sql_place: SqlPlace) -> None:
    async with sql_place.store(pool_limit=1, pool_timeout=0.05) as store:
        assert isinstance(store, SqlStore)
        async with store._database._reader.connect():
            with pytest.raises(PartUnavailable, match=r"were in use.*store\.pool_size"):
                await store.runs()


@real_time
async def test_cancelling_any_call_leaves_the_store_usable(sql_place: SqlPlace) -> None:
    async with sql_place.store(pool_limit=2) as store:
        claim = await claimed(store)
        for pauses in range(12):
            calls = [
                asyncio.create_task(call)
                for call in (
                    store.runs(),
                    store.save(claim, artifact(f"c{pauses}"), concept=None),
                    store.claim_next("in-process", "w", lease=LEASE),
                    store.artifacts(claim.run_id),
                )
            ]
            for _ in range(pauses):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        assert await store.runs()
        assert store.pool().in_use == 0


@real_time
async def test_a_closed_store_accepts_no_saves(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        claim = await claimed(store)
    with pytest.raises(PartUnavailable, match="closed"):
        await store.save(claim, artifact(), concept=None)


# -- killed processes --------------------------------------------------------------------

KILLED = """
import asyncio, os, signal, sys
from pydantic import SecretStr
from paceline.plugins.context import Context
from paceline.settings.model import Settings, StoreSettings
from paceline.contracts.storage.records import Claim
from paceline_adapters.sql.store import SqlStore
from paceline.testing.contracts.store.inputs import artifact
url, run_id = sys.argv[1:]
async def main():
    settings = Settings(store=StoreSettings(url=SecretStr(url)))
    store = SqlStore(Context(settings=settings))
    await store.open()
    claim = Claim(run_id=run_id, roadmap_id="r", worker_id="worker", fence=1)
    async def save(n):
        await store.save(claim, artifact(f"c{n}"), concept=None)
        os.write(1, f"c{n}\\n".encode())
        if n == 60:
            os.kill(os.getpid(), signal.SIGKILL)
    for start in range(0, 100, 7):
        await asyncio.gather(*(save(n) for n in range(start, start + 7)))
asyncio.run(main())
"""


@real_time
async def test_acknowledged_saves_survive_a_killed_process(sql_place: SqlPlace) -> None:
    import sys

    async with sql_place.store() as store:
        claim = await claimed(store, concepts=105)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            KILLED,
            sql_place.url,
            claim.run_id,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        acknowledged = (await process.communicate())[0].decode().split()
        assert process.returncode == -9
        assert "c60" in acknowledged
        saved = set(await store.artifact_steps(claim.run_id))
        assert set(acknowledged) <= saved
        assert len(saved) <= len(acknowledged) + 7
