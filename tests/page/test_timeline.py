"""The timeline of a run: a lane per concept, live and after the end."""

import json
from pathlib import Path

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.serve_process import Served, served


def start(server: Served, name: str, concepts: int) -> str:
    answer = server.ask("/api/runs", body=json.dumps(roadmap(name, concepts)).encode())
    return str(answer["run"]["run_id"])


def test_a_timeline_shows_waits_calls_and_failures_and_stays_after_the_end(
    tab: Tab, tmp_path: Path
) -> None:
    with (
        simulator("--speed", "10", "--fault", "500=0.3", "--seed", "3") as llm,
        served(
            tmp_path,
            PACELINE_PROVIDER__BASE_URL=llm.base_url,
            PACELINE_STRATEGY="global",
            PACELINE_STRATEGIES__GLOBAL__CONCURRENCY="2",
        ) as server,
    ):
        run_id = start(server, "learn", 4)
        tab.page.goto(f"{server.url}/?tab=timeline#/runs/{run_id}")
        lane = tab.get("[data-lane]")
        eventually(lambda: lane.count() == 4, 60)
        eventually(lambda: tab.get("rect.bar.open").count() > 0, 60)  # while it goes on
        tab.says(".detail-head .status", "completed")
        eventually(lambda: tab.get("rect.bar.saving").count() == 12, 60)
        assert tab.get("rect.bar.open").count() == 0
        assert tab.get("rect.bar.calling").count() >= 12
        assert tab.get("rect.bar.waiting").count() > 0
        assert tab.get("rect.bar.failed").count() > 0
        label = tab.get("[data-lane=c0] svg").get_attribute("aria-label") or ""
        assert label.startswith("Concept 0: completed;")
        assert label.endswith("3 saved")
        assert "waiting for admission" in tab.get(".timeline > .hint").inner_text()
        tab.page.reload()
        eventually(lambda: tab.get("rect.bar.saving").count() == 12, 60)
        lane.first.get_by_role("link").click()
        tab.says("#concept-title", "Concept 0")
        tab.quiet()


def test_the_tab_of_a_run_is_kept_in_the_address_and_works_with_arrow_keys(
    tab: Tab, idle: Served
) -> None:
    run_id = start(idle, "tabs", 2)
    tab.page.goto(f"{idle.url}/#/runs/{run_id}")
    eventually(lambda: tab.get(".concept").count() == 2, 60)
    tab.get("#run-tab-concepts").focus()
    tab.page.keyboard.press("ArrowRight")
    assert tab.page.evaluate("document.activeElement.id") == "run-tab-timeline"
    tab.says(".timeline > .hint", "No step has worked yet.")
    assert "?tab=timeline#/runs/" in tab.page.url
    tab.page.keyboard.press("ArrowLeft")
    assert tab.get(".concept").first.is_visible()
    assert "tab=" not in tab.page.url
    tab.quiet()


def test_a_night_between_two_claims_is_cut_out_of_the_axis(tab: Tab, idle: Served) -> None:
    run_id = start(idle, "night", 2)

    def step(began: str, ended: str) -> dict[str, object]:
        return {
            "step": "tutorial",
            "began_at": began,
            "ended_at": ended,
            "seconds": 60,
            "saving": 0,
            "attempts": 1,
            "saved": True,
            "open": False,
            "version": 1,
            "model": "<b>m</b>",
            "adopted": False,
            "phases": [{"kind": "calling", "start": 0, "seconds": 60}],
        }

    days = [("2026-11-01T22:00:00Z", "2026-11-01T22:01:00Z")]
    days.append(("2026-11-02T08:00:00Z", "2026-11-02T08:01:00Z"))
    concepts = [
        {
            "concept_id": f"c{n}",
            "name": f"Concept {n}",
            "status": "completed",
            "reason": None,
            "steps": [step(*day)],
        }
        for n, day in enumerate(days)
    ]
    found = {"now": "2026-11-02T09:00:00Z", "concepts": concepts, "after": None}
    tab.page.route("**/timeline?**", lambda route: route.fulfill(json=found))
    tab.page.goto(f"{idle.url}/?tab=timeline#/runs/{run_id}")
    tab.says(".axis .cut", "9 h 59 min pause")
    widths = [float(bar.get_attribute("width") or 0) for bar in tab.get("rect.bar.calling").all()]
    assert all(width > 400 for width in widths), widths
    tab.quiet()
