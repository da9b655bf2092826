"""Fifty runs of thirty concepts, all at work."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.page.conftest import Tab, roadmap
from tests.processes import simulator
from tests.web.serving import served

RUNS, CONCEPTS = 50, 30

#: Milliseconds; what takes longer is felt as a jerk.
JANK = 200


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_fifty_runs_of_thirty_concepts_do_not_hold_the_browser(
    tab: Tab, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with (
        simulator("--speed", "60") as llm,
        served(
            tmp_path,
            PACELINE_PROVIDER__BASE_URL=llm.base_url,
            PACELINE_EXECUTORS__IN_PROCESS__CONCURRENCY="50",
            PACELINE_STRATEGIES__PER_ROADMAP__LIMIT="4",
        ) as server,
    ):
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        for n in range(RUNS):
            server.ask("/api/runs", body=json.dumps(roadmap(f"r{n}", CONCEPTS)).encode())
        eventually(lambda: tab.get(".run").count() == RUNS, 90)
        tab.get(".run").first.click()
        ended = tab.get(".run-list li[data-status=completed]")
        eventually(lambda: ended.count() == RUNS, 200)
        eventually(lambda: tab.get("[data-concept][data-status=completed]").count() == CONCEPTS, 60)
        counts = set(tab.get(".run .count").all_text_contents())
        assert counts == {f"{CONCEPTS}/{CONCEPTS}"}
        long = sorted(tab.seen()["long"])
        record_property("long_tasks_ms", long)
        assert [one for one in long if one > JANK] == []
        tab.quiet()
