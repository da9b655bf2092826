"""A home with PostgreSQL, Valkey, a fast simulated LLM, and the executor ``arq``."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from paceline import App
from paceline.roadmaps.model import load_roadmap
from paceline.testing.servers import Postgres
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema
from pydantic import SecretStr

from tests.support.cli_processes import Home, Simulator, simulator

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class World:
    """What a test uses: a user's folder, the database, the LLM."""

    home: Home
    llm: Simulator
    postgres: Postgres
    database: str

    def sql(self, query: str) -> str:
        """Query the database directly, as an outside tool does."""
        return self.postgres.execute(query, database=self.database)

    @real_time
    async def submit(self, *names: str, concepts: int = 4) -> list[str]:
        """Submit a roadmap per name, and return the ids of their runs."""
        async with App.load(environ=self.home.environment).client() as client:
            roadmaps = [load_roadmap(self.roadmap(name, concepts)) for name in names]
            return [(await client.submit(roadmap))[0].run_id for roadmap in roadmaps]

    def roadmap(self, name: str, concepts: int = 4) -> Path:
        """Write a roadmap to a file."""
        members = [{"concept_id": f"c{n}", "name": f"{name} {n}"} for n in range(concepts)]
        module = {"module_id": "m", "name": "M", "concepts": members}
        stage = {"stage_id": "s", "name": "S", "modules": [module]}
        path = self.home.folder / f"{name}.json"
        path.write_text(json.dumps({"roadmap_id": name, "title": name, "stages": [stage]}))
        return path

    def count(self, table: str, where: str = "true") -> int:
        """Number of rows of a table."""
        return int(self.sql(f"SELECT count(*) FROM {table} WHERE {where}"))

    def completed(self) -> int:
        """Number of completed runs."""
        return self.count("runs", "status = 'completed'")


@pytest.fixture(scope="session")
def running_simulator() -> Iterator[Simulator]:
    """A simulated LLM that takes about a second per concept."""
    with simulator("--speed", "60") as server:
        yield server


@pytest.fixture
def llm(running_simulator: Simulator) -> Simulator:
    """The simulated LLM, with its counters at zero."""
    running_simulator.reset()
    return running_simulator


@pytest.fixture(scope="session")
def upgraded(postgres_server: Postgres) -> str:
    """Name of a database with the schema, used as a template."""
    name = "arq_template"
    schema.upgrade(SecretStr(postgres_server.create_database(name)))
    return name


@pytest.fixture
def world(
    tmp_path: Path,
    postgres_server: Postgres,
    upgraded: str,
    redis_url: str,
    llm: Simulator,
) -> Iterator[World]:
    """All servers running, but no worker."""
    database = f"arq_{next(_numbers)}"
    home = Home(
        tmp_path,
        {
            "PACELINE_EXECUTOR": "arq",
            "PACELINE_STORE__URL": postgres_server.create_database(database, template=upgraded),
            "PACELINE_REDIS__URL": redis_url,
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_PROVIDER__API_KEY": "sk-test",
            "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": "2",
        },
    )
    yield World(home, llm, postgres_server, database)
    postgres_server.drop_database(database)
