"""Concepts and artifacts are counted alike by the commands, the API and the page."""

import json
import re
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import Home, simulator
from tests.support.serve_process import served

CONCEPTS = 8
#: Faults of the LLM, the share of failures that fails the run, the exit code of `run`.
CASES: dict[str, tuple[tuple[str, ...], str, int]] = {
    "completed": ((), "0.5", 0),
    "partial": (("500=0.2",), "1", 3),
    "failed": (("500=0.2",), "0", 1),
}
BAR = re.compile(r"(\d+) of (\d+) artifacts; (\d+) of (\d+) concepts(?:, (\d+) failed)?")


@pytest.mark.parametrize("status", CASES)
def test_commands_api_and_page_count_alike(tab: Tab, tmp_path: Path, status: str) -> None:
    faults, threshold, code = CASES[status]
    file = tmp_path / "roadmap.json"
    file.write_text(json.dumps(roadmap(status, CONCEPTS)))
    broken = [word for fault in faults for word in ("--fault", fault)]
    with simulator("--speed", "200", "--seed", "3", *broken) as llm:
        settings = {
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_PROVIDER__API_KEY": "none",
            "PACELINE_PROVIDER__ATTEMPTS": "1",
            "PACELINE_RUN__FAILURE_THRESHOLD": threshold,
        }
        home = Home(tmp_path, settings)
        (ran,) = home.json("run", str(file), code=code)["runs"]
    run_id = str(ran["run_id"])
    shown = home.json("show", run_id)
    exported = json.loads(home.run("export", run_id, "--format", "json", code=None).stdout)
    concepts = exported["concepts"]
    made = sum(len(one["artifacts"]) for one in concepts)
    by_status = [sum(one["status"] == name for one in concepts) for name in ("completed", "failed")]
    expected = [status, CONCEPTS, *by_status]

    def counts(run: Any) -> list[object]:
        return [run[name] for name in ("status", "total", "completed", "failed")]

    assert by_status[0] + by_status[1] == CONCEPTS
    assert (by_status[1] > 0) == (status != "completed")
    assert counts(ran) == counts(shown) == counts(exported["run"]) == expected
    assert [shown["artifacts"], shown["artifacts_total"]] == [made, 3 * CONCEPTS]
    with served(tmp_path, "--no-worker", PACELINE_RUN__FAILURE_THRESHOLD=threshold) as server:
        one = server.ask(f"/api/runs/{urllib.parse.quote(run_id)}")
        (listed,) = server.ask("/api/runs?totals=true")["runs"]
        for answer in (one, listed):
            assert counts(answer) == expected
            assert [answer["artifacts"], answer["artifacts_total"]] == [made, 3 * CONCEPTS]
        tab.page.goto(f"{server.url}/#/runs/{run_id}")
        tab.says(".detail-head .status", status)
        words = f"{made} of {3 * CONCEPTS} artifacts; {by_status[0]} of {CONCEPTS} concepts"
        for bar in (".run [role=progressbar]", "#detail [role=progressbar]"):
            found = BAR.fullmatch(tab.get(bar).get_attribute("aria-valuetext") or "")
            assert found is not None
            assert found.group(0).startswith(words)
            assert int(found.group(5) or 0) == by_status[1]
        tab.quiet()
