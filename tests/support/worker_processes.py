"""Workers of one executor on one store as processes, and checks of all that they leave."""

import asyncio
import itertools
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from paceline import App, Event, Roadmap
from paceline.testing.servers import Postgres, Valkey
from paceline_adapters.sql import schema
from pydantic import SecretStr

from tests.support.cli_processes import Home, Simulator
from tests.support.eventually import eventually

#: Seconds that any wait may take on a busy machine.
PATIENCE = 120.0
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Site:
    """A user's folder with settings, the servers behind it, and the simulated LLM.

    Attributes:
        home: where commands run.
        llm: the LLM.
        redis: a client of the Redis that all workers share.
        postgres: the server, and ``None`` on SQLite.
        database: the name of its database, or the path of SQLite's file.
    """

    home: Home
    llm: Simulator
    redis: Any
    postgres: Postgres | None
    database: str
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # -- what is stored ------------------------------------------------------------------

    def sql(self, statement: str) -> str:
        """Ask the database as any tool may; rows are lines, columns divided by ``|``."""
        if self.postgres is not None:
            return self.postgres.execute(statement, database=self.database)
        connection = sqlite3.connect(self.database, timeout=20, isolation_level=None)
        try:
            rows = connection.execute(statement).fetchall()
        finally:
            connection.close()
        return "\n".join("|".join(map(str, row)) for row in rows)

    def count(self, table: str, where: str = "1 = 1") -> int:
        """Rows of a table."""
        return int(self.sql(f"SELECT count(*) FROM {table} WHERE {where}"))

    def events(self, run_id: str) -> list[Event]:
        """The events of a run in Redis, oldest first."""
        keys = self.redis.keys(f"*{run_id}*")
        (key,) = [name for name in keys if self.redis.type(name) == b"stream"]
        entries = self.redis.xrange(key)
        texts = [
            value for _, fields in entries for value in fields.values() if value.startswith(b"{")
        ]
        return [Event.model_validate_json(text) for text in texts]

    def permits(self) -> int:
        """Active leases of shared limits in Redis."""
        seconds, microseconds = self.redis.time()
        now = seconds * 1000 + microseconds // 1000
        names = self.redis.keys("*:leases")
        return sum(self.redis.zcount(name, now, "+inf") for name in names)

    # -- what is done --------------------------------------------------------------------

    def submit(self, *roadmaps: Roadmap, times: int = 1, new: bool = False) -> list[str]:
        """Submit roadmaps and send each message ``times`` times; return the ids of their runs."""

        async def go() -> list[str]:
            async with App.load(environ=self.home.environment).client() as client:
                runs = [(await client.submit(one, new=new))[0] for one in roadmaps]
                for run in runs * (times - 1):
                    await client.executor.submit(run.run_id)
                return [run.run_id for run in runs]

        return asyncio.run(go())

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[str]]:
        """A ready worker process in its own process group."""
        name = f"worker{next(self._names)}"
        with self.home.started("worker", name=name) as process:
            eventually(
                lambda: process.poll() is not None or "is ready" in self.home.log(name), PATIENCE
            )
            assert process.poll() is None, self.home.log(name)
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGCONT)
        assert "Traceback" not in self.home.log(name), self.home.log(name)

    def group_of_owner(self, run_id: str) -> int:
        """The process group of the worker that owns a run."""
        query = f"SELECT pid FROM workers JOIN runs ON owner = worker_id WHERE run_id = '{run_id}'"
        return os.getpgid(int(eventually(lambda: self.sql(query), PATIENCE)))

    def freeze(self, group: int, *, in_call: bool = False) -> None:
        """Freeze a worker's processes while none of them holds SQLite's lock.

        With `in_call`, at a moment when it waits for answers of the LLM.
        """

        def frozen() -> bool:
            os.killpg(group, signal.SIGSTOP)
            waits = not in_call or self.llm.figures()["in_flight"] > 0
            if waits and (self.postgres is not None or self._can_write()):
                return True
            os.killpg(group, signal.SIGCONT)
            return False

        eventually(frozen, PATIENCE)

    def _can_write(self) -> bool:
        connection = sqlite3.connect(self.database, timeout=0.2, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()
        return True


@pytest.fixture
def site(
    executor: str,
    store: str,
    site_settings: dict[str, str],
    tmp_path: Path,
    llm: Simulator,
    valkey_server: Valkey,
    postgres_server: Postgres,
) -> Iterator[Site]:
    """An empty site with the executor and the store that parametrize the test.

    ``llm`` and ``site_settings`` are fixtures of the test's module or folder; a module whose
    servers are harmed has its own ``valkey_server`` and ``postgres_server``. Redis is emptied
    before and after.
    """
    postgres: Postgres | None
    if store == "sqlite":
        postgres, database = None, str(tmp_path / "paceline.db")
        url = f"sqlite:///{database}"
    else:
        postgres, database = postgres_server, f"site_{next(_numbers)}"
        url = postgres.create_database(database)
    schema.upgrade(SecretStr(url))
    home = Home(
        tmp_path,
        {
            "PACELINE_EXECUTOR": executor,
            "PACELINE_STORE__URL": url,
            "PACELINE_STORE__POOL_SIZE": "4",
            "PACELINE_STORE__MAX_OVERFLOW": "0",
            "PACELINE_REDIS__URL": valkey_server.url_of(0),
            "PACELINE_STRATEGY": "per-roadmap,global",
            "PACELINE_STRATEGIES__GLOBAL__CONCURRENCY": "100",
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_PROVIDER__API_KEY": "sk-test",
            **site_settings,
        },
    )
    client = redis.Redis.from_url(valkey_server.url_of(0))
    client.flushall()
    llm.reset()
    try:
        yield Site(home, llm, client, postgres, database)
    finally:
        client.flushall()
        client.close()
        if postgres is not None:
            postgres.drop_database(database)


def in_order(events: Sequence[Event]) -> bool:
    """Whether no owner published after its successor, and nothing follows the end."""
    fences = [event.fence for event in events]
    ends = [event.terminal for event in events]
    return fences == sorted(fences) and ends == [False] * (len(ends) - 1) + [True]
