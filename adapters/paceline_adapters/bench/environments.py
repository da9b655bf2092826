"""Servers that are started for one benchmark, and a clean environment for each round."""

import asyncio
import json
import shutil
import urllib.request
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from paceline import PartUnavailable
from paceline.planning.stacks import Part
from paceline.testing.servers import Postgres, Valkey
from pydantic import SecretStr

from paceline_adapters.bench.cells import FOLDER_MARK
from paceline_adapters.bench.folders import temporary_folder
from paceline_adapters.bench.probes.postgres import SETTINGS
from paceline_adapters.bench.protocol import clean_environment, module

_TEMPLATE = "paceline_bench_template"
#: Maximum seconds until the simulator listens.
_START_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Environment:
    """Where one round runs.

    Attributes:
        folder: working directory, removed afterwards.
        store_url: an empty database.
        database: name of the database on the server; empty without a server.
        sqlite: file of the database, if it is SQLite.
        redis_url: an empty Redis, if the cell needs one.
    """

    folder: Path
    store_url: str
    database: str
    redis_url: str | None
    sqlite: Path | None = None

    def fill(self, text: str) -> str:
        """An option of a store, with the folder of this round."""
        return text.replace(FOLDER_MARK, str(self.folder))


class Environments:
    """The servers that the cells need; they are started once and shared by all cells."""

    def __init__(self, stores: Sequence[Part], *, redis: bool, max_connections: int = 100) -> None:
        self._stack = ExitStack()
        self._folder = Path()
        self._rounds = 0
        self.postgres: Postgres | None = None
        self.valkey = Valkey() if redis else None
        if any(store.name == "postgresql" for store in stores):
            self.postgres = Postgres(fsync=True, max_connections=max_connections, settings=SETTINGS)

    def __enter__(self) -> "Environments":
        """Start the servers."""
        try:
            self._folder = self._stack.enter_context(temporary_folder())
            for server in (self.valkey, self.postgres):
                if server is not None:
                    server.folder = self._folder  # so that it is removed after a kill, too
            if self.valkey is not None:
                self._stack.enter_context(self.valkey)
            if self.postgres is not None:
                self._stack.enter_context(self.postgres)
                self.postgres.execute("CREATE EXTENSION pg_stat_statements")
                _create_tables(self.postgres.create_database(_TEMPLATE))
            _create_tables(f"sqlite:///{self._folder / 'template.db'}")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the servers and remove their data."""
        self._stack.close()

    @asynccontextmanager
    async def environment(
        self, store: Part, url: str = "", *, redis: bool
    ) -> AsyncGenerator[Environment]:
        """A clean environment for one round; it is removed afterwards.

        ``url`` is the address of a store that the benchmark does not serve.
        """
        self._rounds += 1
        folder = self._folder / f"round-{self._rounds}"
        folder.mkdir()
        database = ""
        file = None
        if self.postgres is not None and store.name == "postgresql":
            database = f"round_{self._rounds}"
            url = await asyncio.to_thread(
                self.postgres.create_database, database, template=_TEMPLATE
            )
        elif store.name == "sqlite":
            file = folder / "paceline.db"
            shutil.copy(self._folder / "template.db", file)
            url = f"sqlite+aiosqlite:///{file}"
        redis_url = None
        if redis and self.valkey is not None:
            self.valkey.command("FLUSHALL")
            redis_url = self.valkey.url
        try:
            yield Environment(
                folder, url.replace(FOLDER_MARK, str(folder)), database, redis_url, file
            )
        finally:
            if self.postgres is not None and database:
                await asyncio.to_thread(self.postgres.drop_database, database)
            shutil.rmtree(folder, ignore_errors=True)

    def versions(self) -> dict[str, str]:
        """Versions of the servers, by name."""
        found: dict[str, str] = {}
        if self.postgres is not None:
            found["PostgreSQL"] = self.postgres.execute("SHOW server_version")
        if self.valkey is not None:
            answer = self.valkey.command("LOLWUT", "VERSION", "0")
            found["Valkey"] = answer.rpartition(" ")[2] or "?"
        return found


@dataclass(frozen=True, slots=True)
class ProviderStats:
    """What the simulated provider counted.

    Attributes:
        calls_peak: maximum number of calls in flight.
        tokens: tokens that it charged, of prompts and answers.
    """

    calls_peak: int
    tokens: int


class SimulatedProvider:
    """A simulated provider in a process of its own.

    Args:
        log: its request log, one line of JSON for each request.
    """

    def __init__(self, root_url: str, log: Path) -> None:
        self._root_url = root_url
        self.log = log

    @property
    def base_url(self) -> str:
        """``base_url`` for an OpenAI client."""
        return f"{self._root_url}/v1"

    async def reset(self) -> None:
        """Reset the figures and the used quota."""
        request = urllib.request.Request(  # noqa: S310
            f"{self._root_url}/__paceline/reset?quota=true", data=b"", method="POST"
        )
        await asyncio.to_thread(lambda: urllib.request.urlopen(request).close())  # noqa: S310

    async def stats(self) -> ProviderStats:
        """What it counted since the reset."""
        url = f"{self._root_url}/__paceline/stats"
        raw = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())  # noqa: S310
        found = json.loads(raw)
        return ProviderStats(
            int(found["in_flight_peak"]),
            int(found["prompt_tokens"]) + int(found["completion_tokens"]),
        )


@asynccontextmanager
async def simulated_provider(
    options: Sequence[str], folder: Path
) -> AsyncGenerator[SimulatedProvider]:
    """Start a simulated provider, so that no quota or connection is shared with other rounds.

    Raises:
        PartUnavailable: it did not start.
    """
    log = folder / "requests.jsonl"
    arguments = ["--port", "0", "--json", "--log", str(log), *options]
    process = await asyncio.create_subprocess_exec(
        *module("paceline"),
        "simulator",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env=clean_environment(),
        start_new_session=True,
    )
    try:
        assert process.stdout is not None  # noqa: S101
        async with asyncio.timeout(_START_TIMEOUT):
            line = await process.stdout.readline()
        if not line:
            raise PartUnavailable("the simulated provider did not start")
        yield SimulatedProvider(json.loads(line)["base_url"].removesuffix("/v1"), log)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _create_tables(url: str) -> None:
    from paceline_adapters.sql.schema import upgrade

    upgrade(SecretStr(url))
