"""A home with PostgreSQL, Valkey, a fast simulated LLM, and arq as its executor."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from paceline.testing.servers import Postgres

from tests.processes import Home, Simulator, simulator


@dataclass(frozen=True, slots=True)
class Service:
    """What a test looks at: a user's folder, the database, the LLM."""

    home: Home
    llm: Simulator
    postgres: Postgres
    database: str

    def sql(self, query: str) -> str:
        """Ask the database, as the tables are read by anyone's tools."""
        return self.postgres.execute(query, database=self.database)

    def submit(self, *names: str, concepts: int = 4) -> list[str]:
        """Submit a roadmap per name, each with that many concepts; their run ids."""
        return [
            run["run_id"]
            for run in self.home.json("submit", *(self.roadmap(name, concepts) for name in names))[
                "runs"
            ]
        ]

    def roadmap(self, name: str, concepts: int = 4) -> str:
        """Write a roadmap's file."""
        members = [{"concept_id": f"c{n}", "name": f"{name} {n}"} for n in range(concepts)]
        module = {"module_id": "m", "name": "M", "concepts": members}
        stage = {"stage_id": "s", "name": "S", "modules": [module]}
        path = self.home.folder / f"{name}.json"
        path.write_text(json.dumps({"roadmap_id": name, "title": name, "stages": [stage]}))
        return str(path)

    def count(self, table: str, where: str = "true") -> int:
        """Rows of a table."""
        return int(self.sql(f"SELECT count(*) FROM {table} WHERE {where}"))

    def completed(self) -> int:
        """Runs that are complete."""
        return self.count("runs", "status = 'completed'")


@pytest.fixture
def llm() -> Iterator[Simulator]:
    """A simulated LLM that needs about a second for a concept."""
    with simulator("--speed", "60") as server:
        yield server


@pytest.fixture
def service(
    tmp_path: Path, postgres_server: Postgres, postgres_url: str, redis_url: str, llm: Simulator
) -> Service:
    """Everything there, no worker started."""
    home = Home(
        tmp_path,
        {
            "PACELINE_EXECUTOR": "arq",
            "PACELINE_STORE__URL": postgres_url,
            "PACELINE_REDIS__URL": redis_url,
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_PROVIDER__API_KEY": "sk-test",
            "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": "2",
        },
    )
    home.run("db", "upgrade")
    return Service(home, llm, postgres_server, postgres_url.rpartition("/")[2])
