"""A worker of an existing Celery app runs roadmaps and its own tasks."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import celery
import pytest

from tests.celery.test_workers import a_worker
from tests.support.celery_home import Rig, a_roadmap
from tests.support.cli_processes import Simulator
from tests.support.eventually import eventually

THEIRS = """
import celery
from paceline_adapters.celery import install

app = celery.Celery("theirs", broker={broker!r})
app.conf.task_time_limit = 77


@app.task(name="theirs.write")
def write(path):
    with open(path, "w") as file:
        file.write("done")


install(app)
"""


@contextmanager
def their_worker(rig: Rig, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``celery -A theirs worker …``, logging to ``theirs.log``."""
    log = rig.home.folder / "theirs.log"
    command = [sys.executable, "-m", "celery", "-A", "theirs", "worker", *arguments]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=rig.home.folder,
            env=rig.home.whole(),
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text(), log.read_text()


def their_broker(rig: Rig) -> str:
    """A database that paceline does not use: the fixtures number theirs from 1."""
    return f"{rig.redis_url.rpartition('/')[0]}/0"


@pytest.fixture
def theirs(rig: Rig) -> Path:
    """The folder with the module of the app."""
    (rig.home.folder / "theirs.py").write_text(THEIRS.format(broker=their_broker(rig)))
    rig.home.environment["PACELINE_EXECUTORS__CELERY__APP"] = "theirs:app"
    return rig.home.folder


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.soak)])
def test_the_apps_worker_runs_roadmaps_and_its_own_tasks(
    rig: Rig, llm: Simulator, theirs: Path, pool: str
) -> None:
    files = [str(rig.write(a_roadmap(*given))) for given in (("small", 2), ("large", 60))]
    done = theirs / "done.txt"
    queues = ("-Q", "content_generation,celery", "-l", "INFO")
    with their_worker(rig, *queues, "-P", pool, "-c", "2") as process:
        small, large = (run["run_id"] for run in rig.home.json("submit", *files)["runs"])
        with celery.Celery(broker=their_broker(rig), set_as_current=False) as app:
            app.send_task("theirs.write", [str(done)])
        eventually(lambda: rig.run(small).status == "completed", 60)
        eventually(done.exists)
        assert {worker.concurrency for worker in rig.workers()} == {2 if pool == "threads" else 1}
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert rig.run(large).status == "queued"
    assert rig.workers() == []
    assert llm.figures()["prompts_paid_twice"] == 0


def test_a_paceline_worker_uses_the_app_of_the_options(rig: Rig, theirs: Path) -> None:
    del theirs
    with a_worker(rig, pool="prefork", concurrency=1) as process:
        (run,) = rig.submit(a_roadmap("small", 2))
        eventually(lambda: rig.run(run).status == "completed", 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    assert rig.workers() == []


def test_the_apps_worker_of_other_queues_is_unaffected(rig: Rig, theirs: Path) -> None:
    with their_worker(rig, "-Q", "celery", "-P", "threads", "-l", "INFO") as process:
        eventually(lambda: "ready." in (theirs / "theirs.log").read_text(), 30)
        assert rig.workers() == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_pool_that_cannot_run_roadmaps_is_rejected_in_one_line(rig: Rig, theirs: Path) -> None:
    with their_worker(rig, "-Q", "content_generation", "-P", "solo") as process:
        assert process.wait(30) == 1
    lines = (theirs / "theirs.log").read_text().splitlines()
    assert "paceline: error: Celery's pool 'solo' cannot run roadmaps" in lines[-1]
