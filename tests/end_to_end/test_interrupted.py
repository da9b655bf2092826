"""A run that is stopped and started again pays for no saved artifact twice."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.cli_processes import Home, Simulator, simulator
from tests.support.demo_roadmaps import ROADMAPS
from tests.support.eventually import eventually

FILE = str(ROADMAPS[1])  # 25 concepts
CONCEPTS = 25


def saved(folder: Path) -> int:
    """Artifacts in the database, as an outside tool reads them."""
    if not (folder / "paceline.db").exists():
        return 0
    with sqlite3.connect(folder / "paceline.db") as database:
        try:
            return int(database.execute("select count(*) from artifacts").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="ctrl-c"),
        pytest.param(signal.SIGTERM, 143, id="sigterm", marks=pytest.mark.soak),
        pytest.param(signal.SIGKILL, -9, id="kill-9", marks=pytest.mark.soak),
    ],
)
def test_running_again_resumes_immediately_and_pays_for_no_saved_artifact(
    home: Home, llm: Simulator, number: signal.Signals, code: int
) -> None:
    # A command that waited for the end of the run would exceed the timeout.
    home.environment["PACELINE_RUN__LEASE"] = "600"
    with home.started("run", FILE, "--strategy", "unbounded") as process:
        eventually(lambda: saved(home.folder) >= CONCEPTS + 5, within=60)
        process.send_signal(number)
        assert process.wait(60) == code
    assert "Traceback" not in home.log("process")
    [stopped] = home.json("show")["runs"]
    if number == signal.SIGKILL:
        assert stopped["status"] == "running"
        status = home.run("status").stdout
        assert f"run {stopped['run_id']} has lost its worker" in status
        assert f"paceline resume {stopped['run_id']}" in status
        with home.started("watch", name="watch"):
            eventually(lambda: "has lost its worker" in home.log("watch"), within=30)
    else:
        assert (stopped["status"], stopped["reason"]) == ("paused", "interrupted")
        with home.workers():  # it must not continue the run
            assert home.json("show", "--status", "paused")["runs"] == [stopped]
    lost = llm.figures()["paid"] + llm.figures()["in_flight"] - saved(home.folder)
    again = home.json("run", FILE, "--strategy", "unbounded")
    assert again["runs"][0]["status"] == "completed"
    assert again["runs"][0]["submitted"] == "resumed"
    figures = llm.figures()
    assert figures["paid_again"] <= lost
    assert saved(home.folder) == CONCEPTS * 3
    if number != signal.SIGKILL:
        assert figures["paid_again"] == 0


def test_cancel_from_another_terminal_stops_a_run_within_seconds(
    home: Home, llm: Simulator
) -> None:
    with simulator("--latency", "tutorial=0.1-0.2", "--latency", "resources=600-601") as slow:
        home.environment["OPENAI_BASE_URL"] = slow.base_url
        with home.started("run", FILE, "--strategy", "unbounded") as process:
            eventually(lambda: saved(home.folder) == CONCEPTS, within=30)
            [run] = home.json("show")["runs"]
            home.run("cancel", run["run_id"])
            assert process.wait(20) == 1
        assert home.json("show")["runs"][0]["status"] == "cancelled"
        assert eventually(lambda: slow.figures()["in_flight"] == 0)
    home.environment["OPENAI_BASE_URL"] = llm.base_url
    home.run("resume", run["run_id"])
    assert home.json("run", FILE, "--strategy", "unbounded")["runs"][0]["status"] == "completed"
    assert saved(home.folder) == CONCEPTS * 3
    assert llm.figures()["paid"] == CONCEPTS * 2


def test_a_second_command_attaches_to_a_running_run(home: Home) -> None:
    with simulator("--latency", "tutorial=0.1-0.2", "--latency", "resources=8-9") as slow:
        home.environment["OPENAI_BASE_URL"] = slow.base_url
        home.environment["PACELINE_STRATEGY"] = "unbounded"
        with home.started("run", FILE) as process:
            eventually(lambda: saved(home.folder) >= 1, within=30)
            attached = home.json("run", FILE)
            assert attached["runs"][0]["submitted"] == "attached"
            assert attached["runs"][0]["status"] == "completed"
            assert process.wait(20) == 0
        assert slow.figures()["prompts_paid_twice"] == 0


@pytest.mark.soak
def test_a_second_worker_cannot_use_a_limit_in_memory(home: Home) -> None:
    home.environment["PACELINE_STRATEGY"] = "global"
    with home.workers() as [first]:
        told = home.run("worker", code=2).stderr
        assert "redis.url is not set" in told
        assert first.poll() is None
        home.run("run", FILE, code=2)
    home.environment["PACELINE_STRATEGY"] = "per-roadmap"
    with home.workers(count=2):
        assert len(home.worker_pids()) == 2


def test_submitted_runs_wait_for_a_worker(home: Home, llm: Simulator) -> None:
    home.environment["PACELINE_STRATEGY"] = "unbounded"
    home.run("submit", FILE)
    assert home.json("show")["runs"][0]["status"] == "queued"
    with home.workers():
        assert home.run("watch").returncode == 0
    assert home.json("show")["runs"][0]["status"] == "completed"
    assert llm.figures()["paid"] == CONCEPTS * 3


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.soak),
        pytest.param(signal.SIGHUP, marks=pytest.mark.soak),
    ],
)
def test_a_worker_that_is_stopped_while_it_starts_leaves_no_registration(
    home: Home, number: signal.Signals
) -> None:
    home.run("db", "upgrade")
    with home.started("worker") as worker:
        with closing(sqlite3.connect(home.folder / "paceline.db")) as database:
            while not database.execute("select 1 from workers").fetchone():
                assert worker.poll() is None
            worker.send_signal(number)
        assert worker.wait(60) == 128 + number
    assert home.worker_pids() == []
    with closing(sqlite3.connect(home.folder / "paceline.db")) as database:
        left = database.execute("select count(*) from workers").fetchone()
        assert left == (0,), home.log("worker")
