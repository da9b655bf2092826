"""Where stores under test keep their data, and small inputs for them."""

import asyncio
import functools
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec

from paceline.context import Context
from paceline.identity import ProcessIdentity, this_process
from paceline.plugins import Plugins
from paceline.roadmap import Roadmap, parse_roadmap
from paceline.settings.model import RunSettings, Settings, StoreSettings
from paceline.store import Artifact, Claim, ConceptState, Run, Store, WorkerRecord
from paceline.testing.servers import Postgres
from paceline_adapters.memory.store import MemoryStore
from paceline_adapters.sql.store import SqlStore
from pydantic import SecretStr

P = ParamSpec("P")

LEASE = 30.0


def on_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Place(ABC):
    """A database that stores can be opened on, and whose clock can be put forward."""

    @abstractmethod
    def make(self, context_settings: Settings, worker_id: str, pool_limit: int | None) -> Store:
        """A store that is not open yet."""

    @abstractmethod
    def settings(self, **store: Any) -> StoreSettings:
        """Settings that lead here."""

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Let time pass for leases and beats."""

    @asynccontextmanager
    async def store(
        self,
        worker_id: str = "worker",
        *,
        pool_limit: int | None = None,
        lease: float = LEASE,
        **settings: Any,
    ) -> AsyncIterator[Store]:
        """An open store, as a process of its own would have it."""
        effective = Settings(store=self.settings(**settings), run=RunSettings(lease=lease))
        store = self.make(effective, worker_id, pool_limit)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


class MemoryPlace(Place):
    """One process: every store of the place is the same one."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._store = MemoryStore(
            clock=lambda: asyncio.get_running_loop().time() + self._passed,
        )

    def make(self, context_settings: Settings, worker_id: str, pool_limit: int | None) -> Store:
        return self._store

    def settings(self, **store: Any) -> StoreSettings:
        return StoreSettings(url=SecretStr("memory:"), **store)

    def advance(self, seconds: float) -> None:
        self._passed += seconds


class SqlPlace(Place):
    def __init__(self, url: str) -> None:
        self.url = url

    def make(self, context_settings: Settings, worker_id: str, pool_limit: int | None) -> SqlStore:
        return SqlStore(
            Context(
                plugins=Plugins(),
                settings=context_settings,
                worker_id=worker_id,
                pool_limit=pool_limit,
            )
        )

    def settings(self, **store: Any) -> StoreSettings:
        return StoreSettings(url=SecretStr(self.url), **store)

    def advance(self, seconds: float) -> None:
        raise NotImplementedError(f"no way to put {self.url} forward")


class SqlitePlace(SqlPlace):
    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self.path = path

    def advance(self, seconds: float) -> None:
        back = f"strftime('%Y-%m-%dT%H:%M:%fZ', {{}}, '-{seconds} seconds')"
        with sqlite3.connect(self.path) as connection:
            connection.execute(f"UPDATE runs SET lease_until = {back.format('lease_until')}")
            connection.execute(f"UPDATE workers SET beat_at = {back.format('beat_at')}")
        connection.close()


class PostgresPlace(SqlPlace):
    def __init__(self, server: Postgres, url: str) -> None:
        super().__init__(url)
        self.server = server
        self.database = url.rpartition("/")[2]

    def execute(self, sql: str) -> str:
        """Run statements as the superuser."""
        return self.server.execute(sql, database=self.database)

    def advance(self, seconds: float) -> None:
        back = f"- make_interval(secs => {seconds})"
        self.execute(
            f"UPDATE runs SET lease_until = lease_until {back};"
            f"UPDATE workers SET beat_at = beat_at {back}"
        )


def roadmap(roadmap_id: str = "r", *, concepts: int = 3, title: str = "Learn") -> Roadmap:
    """A valid roadmap with concepts ``c0``, ``c1`` and so on."""
    listed = [{"concept_id": f"c{n}", "name": f"Concept {n}"} for n in range(concepts)]
    module = {"module_id": "m", "name": "M", "concepts": listed}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    data = {"roadmap_id": roadmap_id, "title": title, "stages": [stage], "mine": {"kept": True}}
    return parse_roadmap(data, source="test")


def artifact(concept_id: str = "c0", step: str = "tutorial", **fields: Any) -> Artifact:
    """An artifact with figures that tell its fields apart."""
    values: dict[str, Any] = {
        "content": '{"text": "…"}',
        "model": "gpt",
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "cost": None,
        "seconds": 1.5,
        "attempts": 1,
    }
    return Artifact(concept_id=concept_id, step=step, **(values | fields))


def done(concept_id: str = "c0") -> ConceptState:
    """A concept that has all its artifacts."""
    return ConceptState(concept_id=concept_id, status="completed", attempts=3)


def worker(
    worker_id: str = "worker", *, identity: ProcessIdentity | None = None, pool_max: int = 5
) -> WorkerRecord:
    """A worker of this process."""
    return WorkerRecord(
        worker_id=worker_id,
        identity=identity or this_process(),
        executor="in-process",
        concurrency=8,
        pool_max=pool_max,
    )


async def submitted(store: Store, roadmap_id: str = "r", *, concepts: int = 3) -> Run:
    """A run that waits for its first owner."""
    run, _ = await store.create_run(
        roadmap(roadmap_id, concepts=concepts), executor="in-process", new=True
    )
    return run


async def claimed(
    store: Store, roadmap_id: str = "r", worker_id: str = "worker", *, concepts: int = 3
) -> Claim:
    """The claim of a fresh run."""
    run = await submitted(store, roadmap_id, concepts=concepts)
    return await must_claim(store, run.run_id, worker_id)


async def must_claim(store: Store, run_id: str, worker_id: str = "worker") -> Claim:
    """A claim that nobody stands in the way of."""
    claim = await store.claim(run_id, worker_id, lease=LEASE)
    assert claim is not None
    return claim


def ids(runs: Sequence[Run]) -> list[str]:
    """Which runs, in which order."""
    return [run.run_id for run in runs]
