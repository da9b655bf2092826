"""Servers die while somebody looks: the page says so, catches up, and ends right."""

import json
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from paceline.testing.servers import Postgres, Valkey

from tests.end_to_end.conftest import ROADMAPS
from tests.eventually import eventually
from tests.page.conftest import Tab, roadmap
from tests.processes import Home, simulator
from tests.web.serving import Served, served


def shown(tab: Tab) -> dict[str, list[str]]:
    """The concepts on the page by their state, in the page's order."""
    rows: list[list[str]] = tab.page.evaluate(
        """[...document.querySelectorAll("[data-concept]")]
           .map((row) => [row.dataset.concept, row.dataset.status])"""
    )
    states: dict[str, list[str]] = {}
    for concept, state in rows:
        states.setdefault(state, []).append(concept)
    return states


def test_after_a_kill_in_mid_run_nothing_is_missing_or_twice(tab: Tab, tmp_path: Path) -> None:
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


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_page_ends_right_whatever_dies_during_227_concepts(
    tab: Tab, tmp_path: Path, postgres_server: Postgres
) -> None:
    with (
        ExitStack() as stack,
        simulator("--speed", "10") as llm,
        Valkey() as valkey,
    ):
        database = postgres_server.create_database("page_faults")
        stack.callback(postgres_server.drop_database, "page_faults")
        settings = {
            "PACELINE_STORE__URL": database,
            "PACELINE_REDIS__URL": valkey.url,
            "PACELINE_EXECUTOR": "arq",
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_PROVIDER__API_KEY": "any",
            "PACELINE_RUN__LEASE": "3",
            "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": "4",
        }
        home = Home(tmp_path, settings)
        home.run("db", "upgrade")
        worker = stack.enter_context(home.started("worker", name="worker1"))
        stack.enter_context(home.started("worker", name="worker2"))
        with served(tmp_path, "--no-worker", **settings) as server:
            tab.page.goto(server.url)
            tab.says("#connection", "live")
            tab.submit(*(json.loads(file.read_bytes()) for file in ROADMAPS))
            eventually(lambda: tab.get(".run").count() == 8, 90)
            tab.get(".run").first.click()
            eventually(lambda: finished(server) >= 20, 120)
            os.kill(worker.pid, signal.SIGKILL)
            eventually(lambda: finished(server) >= 50, 120)
            valkey.kill()
            valkey.restart()
            eventually(lambda: finished(server) >= 80, 120)
            port = server.url.rpartition(":")[2]
            server.process.kill()
            server.process.wait()
        tab.says("#connection", "disconnected since")
        stack.enter_context(home.started("worker", name="worker3"))
        with served(tmp_path, "--no-worker", "--port", port, **settings) as server:
            tab.says("#connection", "live")
            ended = tab.get(".run-list li[data-status=completed]")
            eventually(lambda: ended.count() == 8, 200)
            stored = {
                run["run_id"]: f"{run['completed']}/{run['total']}"
                for run in server.ask("/api/runs")["runs"]
            }
            assert sum(int(one.partition("/")[0]) for one in stored.values()) == 227
            for run_id, count in stored.items():
                tab.says(f"[data-run='{run_id}'] .count", count)
            eventually(lambda: set(shown(tab)) == {"completed"}, 60)
            tab.says("#sentence", "0 concepts in flight")
            assert not tab.errors


def finished(server: Served) -> int:
    """Concepts that are completed, over all runs."""
    return sum(run["completed"] for run in server.ask("/api/runs")["runs"])
