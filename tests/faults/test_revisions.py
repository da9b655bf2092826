"""Revisions of a worker that is killed: nothing is lost, and no reader finds a gap."""

import asyncio
import os
import signal
from collections.abc import Sequence

from paceline import App

from tests.faults.conftest import CONCEPTS, LIMIT, combinations
from tests.support.eventually import eventually
from tests.support.memory_worker import a_roadmap
from tests.support.worker_processes import PATIENCE, Site


def revise(site: Site, run_id: str, step: str) -> Sequence[tuple[str, str]]:
    """Request a new version of a step of every concept."""

    async def go() -> Sequence[tuple[str, str]]:
        app = App.load(environ=site.home.environment)
        async with app.client() as client:
            selected = await client.select(run_id, step=step)
            _, places = await client.revise(run_id, selected, instruction="shorter")
            return places

    return asyncio.run(go())


@combinations("in-process-sqlite")
def test_only_revisions_in_flight_are_paid_again_after_a_kill(site: Site) -> None:
    versions = "artifacts", "step = 'quiz' AND version = 2"
    with site.worker():
        (run_id,) = site.submit(a_roadmap(CONCEPTS))
        eventually(lambda: site.sql("SELECT status FROM runs") == "completed", PATIENCE)
        paid = site.llm.figures()["paid"]
        assert len(revise(site, run_id, "quiz")) == CONCEPTS
        eventually(lambda: site.count(*versions) >= LIMIT, PATIENCE)
        os.killpg(site.group_of_owner(run_id), signal.SIGKILL)
        assert site.count("artifacts") == 3 * CONCEPTS
    with site.worker():
        eventually(lambda: site.count(*versions) == CONCEPTS, PATIENCE)
        eventually(lambda: site.sql("SELECT status FROM runs") == "completed", PATIENCE)
    assert site.count("past_versions") == CONCEPTS
    assert site.count("revisions") == 0
    assert site.llm.figures()["paid"] - paid <= CONCEPTS + LIMIT
    assert site.sql("SELECT DISTINCT step FROM past_versions") == "quiz"
