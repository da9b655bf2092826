"""From a file to its artifacts, and what the page shows if something is wrong."""

import json
import re
from pathlib import Path

import pytest

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.serve_process import TOKEN, Served, served


def test_a_submitted_roadmap_is_followed_to_its_artifacts(tab: Tab, tmp_path: Path) -> None:
    with (
        simulator("--speed", "20") as llm,
        served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        tab.page.goto(server.url)
        tab.says("#runs-empty", "No runs yet")
        tab.submit(roadmap("learn", 4))
        tab.says(".run-title", "Roadmap learn")
        tab.says(".run .status", "completed")
        assert tab.get(".run .count").text_content() == "4/4"
        tab.says(".run .when", " s")  # how long it took

        tab.get(".run").click()
        tab.says("#detail-title", "Roadmap learn")
        done = tab.get(".concept-list li[data-status=completed]")
        eventually(lambda: done.count() == 4, 60)
        assert tab.get(".module h4").all_text_contents() == ["Module 1 2/2", "Module 2 2/2"]

        tab.get(".concept").first.click()
        tab.says("#concept-title", "Concept 0")
        assert tab.get("#concept [role=tab]").all_text_contents() == [
            "tutorial",
            "resources",
            "quiz",
        ]
        assert tab.get("#artifact .prose h3").count() >= 1
        tab.page.get_by_role("tab", name="resources").click()
        assert tab.get("#artifact .resources a").first.get_attribute("rel") == (
            "noopener noreferrer nofollow"
        )
        tab.page.get_by_role("tab", name="quiz").click()
        answer = tab.get("#artifact .right").first
        assert not answer.is_visible()
        tab.get("#artifact summary").first.click()
        assert answer.is_visible()
        assert re.search(r"limit|idle|worker", tab.get("#sentence").inner_text())
        tab.quiet()


def test_a_file_can_be_dropped_anywhere(tab: Tab, tmp_path: Path) -> None:
    with served(tmp_path, "--no-worker") as server:
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        transfer = tab.page.evaluate_handle(
            """(text) => { const it = new DataTransfer();
                 it.items.add(new File([text], "a.json")); return it; }""",
            json.dumps(roadmap("dropped", 2)),
        )
        tab.page.dispatch_event("body", "drop", {"dataTransfer": transfer})
        tab.says(".run-title", "Roadmap dropped")
        tab.says(".run .status", "queued")
        tab.quiet()


def test_faults_of_a_roadmap_are_shown_until_dismissed(tab: Tab, tmp_path: Path) -> None:
    broken = roadmap("broken", 2)
    broken["stages"][0]["modules"][0]["concepts"] = []
    del broken["title"]
    with served(tmp_path, "--no-worker") as server:
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        tab.submit(broken)
        tab.says(".submission.problem", "broken.json was not submitted")
        assert tab.get(".submission li").count() == 2
        assert "title" in tab.get(".submission").inner_text()
        tab.page.get_by_role("button", name="Dismiss broken.json").click()
        assert tab.get(".submission").count() == 0
        del broken["roadmap_id"]
        broken["title"] = "Broken"
        broken["stages"] = roadmap("whole", 2)["stages"]
        tab.submit({**broken, "roadmap_id": ""})
        tab.says(".submission li", "roadmap_id")
        assert tab.get(".submission li").count() == 1, "the only fault is told like many"
        assert tab.get(".run").count() == 0


@pytest.mark.timeout(600)
def test_a_run_can_be_cancelled_resumed_and_its_failures_retried(tab: Tab, tmp_path: Path) -> None:
    settings = {"PACELINE_PROVIDER__ATTEMPTS": "1", "PACELINE_RUN__FAILURE_THRESHOLD": "1"}
    slow = simulator("--latency", "default=60-60", "--latency", "tutorial=60-60")
    with slow as llm, served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server:
        port = server.url.rpartition(":")[2]
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        tab.submit(roadmap("learn", 3))
        tab.get(".run").click()
        tab.says(".facts", "3 generating")
        tab.page.get_by_role("button", name="Cancel").click()
        tab.says(".detail-head .status", "cancelled")
        tab.says(".facts", "0 completed")
        server.stop()
    failing = simulator("--speed", "50", "--fault", "500=1")
    with (
        failing as llm,
        served(
            tmp_path, "--port", port, PACELINE_PROVIDER__BASE_URL=llm.base_url, **settings
        ) as server,
    ):
        tab.says("#connection", "live")
        tab.page.get_by_role("button", name="Resume").click()
        tab.says(".detail-head .status", "partial")
        eventually(lambda: tab.get(".reason:visible").count() == 3, 60)
        assert tab.get(".run .failures").text_content() == "3 failed"
        server.stop()
    with (
        simulator("--speed", "50") as llm,
        served(tmp_path, "--port", port, PACELINE_PROVIDER__BASE_URL=llm.base_url),
    ):
        tab.says("#connection", "live")
        tab.page.get_by_role("button", name="Retry failed").click()
        tab.says(".detail-head .status", "completed")
        eventually(lambda: tab.get("li[data-status=completed] .concept").count() == 3, 60)
        eventually(lambda: tab.get(".reason:visible").count() == 0, 60)
        assert not tab.errors


def test_the_page_asks_once_for_a_required_token(tab: Tab, tmp_path: Path) -> None:
    with served(tmp_path, "--no-worker", token=TOKEN) as server:
        tab.page.goto(server.url)
        tab.page.fill("#token-value", "wrong-0123456789")
        tab.page.keyboard.press("Enter")
        tab.says("#token-error", "The token is not valid")
        tab.page.fill("#token-value", TOKEN)
        tab.page.keyboard.press("Enter")
        tab.says("#connection", "live")
        tab.page.reload()
        tab.says("#connection", "live")
        assert not tab.get("#token").is_visible()
        assert tab.page.evaluate("localStorage.length") == 0
        tab.quiet()


_TOO_WIDE = "document.documentElement.scrollWidth - innerWidth"


@pytest.mark.parametrize("width", [1440, 900, 390])
def test_nothing_is_wider_than_the_screen(tab: Tab, idle: Served, width: int) -> None:
    long = "Averylongwordwithoutanyplacetobreakit" * 6
    run_id = idle.ask("/api/runs", body=json.dumps(roadmap("long", 3, name=long)).encode())["run"][
        "run_id"
    ]
    tab.page.set_viewport_size({"width": width, "height": 800})
    for place in ("", f"#/runs/{run_id}", f"#/runs/{run_id}/c1"):
        tab.page.goto(f"{idle.url}/{place}")
        tab.says("#connection", "live")
        eventually(lambda: tab.page.evaluate(_TOO_WIDE) <= 0)


def test_a_run_is_paused_with_its_reason_and_resumed(tab: Tab, tmp_path: Path) -> None:
    with (
        simulator("--speed", "4") as llm,
        served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        tab.page.goto(server.url)
        tab.submit(roadmap("learn", 3))
        tab.get(".run").click()
        tab.says(".facts", "3 generating")
        tab.page.get_by_role("button", name="Pause").click()
        tab.says(".detail-head .status", "paused")
        tab.says(".problem:visible", "by request")
        tab.says(".run .status", "paused")
        tab.page.get_by_role("button", name="Resume").click()
        tab.says(".detail-head .status", "completed")
        assert not tab.errors
