"""Servers die while the page is open: the page says so, catches up, and is correct in the end."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from paceline.testing.servers import Postgres, Valkey

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import Home, simulator
from tests.support.demo_roadmaps import ROADMAPS
from tests.support.eventually import eventually
from tests.support.serve_process import Served, served


def shown(tab: Tab) -> dict[str, list[str]]:
    """The concepts on the page with their states, in the order of the page."""
    rows: list[list[str]] = tab.page.evaluate(
        """[...document.querySelectorAll("[data-concept]")]
           .map((row) => [row.dataset.concept, row.dataset.status])"""
    )
    states: dict[str, list[str]] = {}
    for concept, state in rows:
        states.setdefault(state, []).append(concept)
    return states


def test_after_a_kill_in_mid_run_nothing_is_missing_or_duplicated(tab: Tab, tmp_path: Path) -> None:
    concepts = [f"c{n}" for n in range(12)]
    with simulator("--speed", "8") as llm:
        settings = {
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": "4",
        }
        with served(tmp_path, **settings) as server:
            tab.page.goto(server.url)
            tab.says("#connection", "live")
            tab.submit(roadmap("learn", len(concepts)))
            tab.get(".run").click()
            eventually(lambda: "completed" in shown(tab), 60)
            port = server.url.rpartition(":")[2]
            server.process.kill()
            server.process.wait()
        tab.says("#connection", "disconnected since")
        seen = shown(tab)["completed"]
        with served(tmp_path, "--port", port, **settings) as server:
            tab.says("#connection", "live")
            eventually(lambda: shown(tab) == {"completed": concepts}, 120)
            tab.says(".detail-head .status", "completed")
            tab.says(".run .count", "12/12")
            assert set(seen) <= set(concepts)
            assert tab.get(".run").count() == 1
            stored = server.ask("/api/runs?limit=10")["runs"]
            assert [(run["status"], run["completed"]) for run in stored] == [("completed", 12)]
            assert not tab.errors


@pytest.mark.timeout(600)
def test_the_page_is_correct_after_worker_broker_and_server_are_killed(
    tab: Tab, tmp_path: Path, postgres_server: Postgres
) -> None:
    few = [roadmap(f"r{n}", 12) for n in range(3)]
    with kills(tmp_path, postgres_server, executor="arq", speed=20) as faults:
        faults.of(tab, few, at=(4, 10, 16))


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("executor", ["arq", "celery"])
def test_the_page_is_correct_after_kills_during_227_concepts(
    tab: Tab, tmp_path: Path, postgres_server: Postgres, executor: str
) -> None:
    all_of_them = [json.loads(file.read_bytes()) for file in ROADMAPS]
    with kills(tmp_path, postgres_server, executor=executor, speed=10) as faults:
        faults.of(tab, all_of_them, at=(20, 50, 80))


@dataclass(frozen=True, slots=True)
class Kills:
    """A server, its workers and their broker, to be killed one after the other.

    Attributes:
        home: where they run.
        settings: of all of them.
        valkey: the broker, the ledger and the event bus.
        stack: what ends with the test.
    """

    home: Home
    settings: dict[str, str]
    valkey: Valkey
    stack: ExitStack

    def of(self, tab: Tab, roadmaps: list[dict[str, Any]], *, at: tuple[int, int, int]) -> None:
        """Submit roadmaps on the page, and watch one while every process is killed once.

        Args:
            tab: where somebody looks.
            roadmaps: what to generate.
            at: how many concepts are completed as a worker, Valkey and the server are killed.
        """
        worker = self.worker("worker1")
        self.worker("worker2")
        count, concepts = len(roadmaps), sum(map(concepts_of, roadmaps))
        with served(self.home.folder, "--no-worker", **self.settings) as server:
            tab.page.goto(server.url)
            tab.says("#connection", "live")
            tab.submit(*roadmaps)
            eventually(lambda: tab.get(".run").count() == count, 90)
            tab.get(".run").first.click()
            eventually(lambda: finished(server) >= at[0], 120)
            os.kill(worker.pid, signal.SIGKILL)
            eventually(lambda: finished(server) >= at[1], 120)
            self.valkey.kill()
            self.valkey.restart()
            eventually(lambda: finished(server) >= at[2], 120)
            port = server.url.rpartition(":")[2]
            server.process.kill()
            server.process.wait()
        tab.says("#connection", "disconnected since")
        self.worker("worker3")
        with served(self.home.folder, "--no-worker", "--port", port, **self.settings) as server:
            tab.says("#connection", "live")
            ended = tab.get(".run-list li[data-status=completed]")
            eventually(lambda: ended.count() == count, 240)
            stored = {
                run["run_id"]: f"{run['completed']}/{run['total']}"
                for run in server.ask("/api/runs")["runs"]
            }
            assert sum(int(one.partition("/")[0]) for one in stored.values()) == concepts
            for run_id, shown_as in stored.items():
                tab.says(f"[data-run='{run_id}'] .count", shown_as)
            eventually(lambda: set(shown(tab)) == {"completed"}, 60)
            tab.says("#sentence", "idle; 0 roadmaps waiting")
            assert not tab.errors

    def worker(self, name: str) -> "subprocess.Popen[str]":
        """One more."""
        return self.stack.enter_context(self.home.started("worker", name=name))


@contextmanager
def kills(folder: Path, postgres_server: Postgres, *, executor: str, speed: int) -> Iterator[Kills]:
    """PostgreSQL, Valkey and a simulated LLM that is faster than a real one."""
    with ExitStack() as stack:
        database = postgres_server.create_database("page_faults")
        stack.callback(postgres_server.drop_database, "page_faults")
        llm = stack.enter_context(simulator("--speed", str(speed)))
        valkey = stack.enter_context(Valkey())
        settings = {
            "PACELINE_STORE__URL": database,
            "PACELINE_REDIS__URL": valkey.url,
            "PACELINE_EXECUTOR": executor,
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_PROVIDER__API_KEY": "any",
            "PACELINE_RUN__LEASE": "3",
            "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": "4",
        }
        home = Home(folder, settings)
        home.run("db", "upgrade")
        yield Kills(home, settings, valkey, stack)


def concepts_of(one: dict[str, Any]) -> int:
    """How many concepts a roadmap has."""
    return sum(len(module["concepts"]) for stage in one["stages"] for module in stage["modules"])


def finished(server: Served) -> int:
    """Concepts that are completed, over all runs."""
    return sum(run["completed"] for run in server.ask("/api/runs")["runs"])
