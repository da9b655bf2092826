"""A revision on the page: asked for, compared with the old text, and chosen between the two."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.page.test_accessible import faults
from tests.page.test_hostile import HOSTILE
from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.serve_process import Served, served

if TYPE_CHECKING:
    from playwright.sync_api import Route

_TOO_WIDE = "document.documentElement.scrollWidth - innerWidth"
_SIDES = "[...document.querySelectorAll('.compare section')].map(one => one.offsetTop)"


def a_completed_run(tab: Tab, server: Served) -> str:
    """Submit a roadmap, wait for its end and open it; returns the run's id."""
    tab.page.goto(server.url)
    tab.says("#connection", "live")
    tab.submit(roadmap("learn", 3))
    tab.says(".run .status", "completed")
    tab.get(".run").click()
    eventually(lambda: tab.get(".concept-list li[data-status=completed]").count() == 3, 60)
    run_id: str = server.ask("/api/runs")["runs"][0]["run_id"]
    return run_id


def current(server: Served, run_id: str, step: str) -> dict[str, Any]:
    """The current version of an artifact of the first concept."""
    found: dict[str, Any] = server.ask(f"/api/runs/{run_id}/concepts/c0/artifacts/{step}")
    return found


def test_a_text_is_revised_compared_and_one_of_both_is_kept(tab: Tab, tmp_path: Path) -> None:
    press, button = tab.page.keyboard.press, tab.page.get_by_role
    with (
        simulator("--speed", "30") as llm,
        served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        run_id = a_completed_run(tab, server)
        tab.get(".concept").first.click()
        tab.says("#concept-title", "Concept 0")
        assert tab.get("#versions-tutorial").count() == 0, "there is only one version"

        button("button", name="Revise…").click()
        tab.says("#revise-title", "Revise the tutorial")
        assert faults(tab) == []
        press("Escape")
        assert not tab.get("#revise").is_visible()
        assert tab.get("#concept").is_visible(), "Escape closes only the form"
        assert tab.page.evaluate("document.activeElement.id") == "revise-tutorial"
        press("Enter")
        tab.page.get_by_label("What to change").fill(f"Shorter {HOSTILE}")
        tab.page.get_by_label("Your name").fill("Ann")
        button("button", name="Revise", exact=True).click()
        tab.says(".offer", "Version 2 is new")
        tab.says("#concept-news", "Version 2 of tutorial is ready")
        tab.says("#artifact", "Version 2 of 2")
        tab.says("#artifact", "Asked for by Ann")
        tab.says("#artifact", f"Instruction: Shorter {HOSTILE}")
        assert current(server, run_id, "tutorial")["requested_by"] == "Ann"

        tab.get("#offer-tutorial").click()
        eventually(lambda: tab.get(".compare section").count() == 2, 60)
        assert tab.get(".compare b").all_text_contents() == ["Version 1", "Version 2"]
        for theme, width in (("light", 1280), ("dark", 390)):
            tab.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            tab.page.set_viewport_size({"width": width, "height": 900})
            assert faults(tab) == []
            assert tab.page.evaluate(_TOO_WIDE) <= 0
            one, other = tab.page.evaluate(_SIDES)
            assert (one == other) is (width == 1280), "beside each other, or below"
        tab.get("#keep-1").click()
        tab.says("#artifact", "Version 1 of 2")
        assert current(server, run_id, "tutorial")["version"] == 1
        tab.get("#versions-tutorial").click()
        tab.says(".version-list", "Version 2")
        assert faults(tab) == []
        tab.get("#compare-2").click()
        tab.get("#keep-2").click()
        tab.says("#artifact", "Version 2 of 2")

        tab.page.set_viewport_size({"width": 1280, "height": 900})
        button("tab", name="quiz").click()
        tab.says(".stale-note", "made from an older version")
        assert faults(tab) == []
        press("Escape")
        tab.says(".concept .tag", "stale")
        assert tab.get(".concept").first.get_attribute("aria-label") == (
            "Concept 0: completed; artifacts: tutorial, resources, quiz; stale: resources, quiz"
        )
        button("button", name="Revise stale (2)").click()
        tab.says("#revise-hint", "at least 2 calls")
        button("button", name="Revise", exact=True).click()
        eventually(lambda: not button("button", name="Revise stale").is_visible(), 60)
        eventually(lambda: tab.get(".concept .tag:not(:empty)").count() == 0, 60)
        assert current(server, run_id, "quiz")["version"] == 2

        # A revision that another client asked for appears, too.
        tab.get(".concept").first.click()
        tab.says("#artifact", "Version 2 of 2")
        place = [{"concept_id": "c0", "step": "tutorial"}]
        body = json.dumps({"artifacts": place, "downstream": True}).encode()
        server.ask(f"/api/runs/{run_id}/revisions", body=body)
        tab.says(".offer", "Version 3 is new")
        assert tab.seen()["ran"] == 0
        tab.quiet()

        tab.page.route("**/api/session", _read_only)
        tab.page.reload()
        tab.says("#artifact", "Version 3 of 3")
        tab.get("#versions-tutorial").click()
        tab.get("#compare-1").click()
        eventually(lambda: tab.get(".compare section").count() == 2, 60)
        for name in ("Revise…", "Keep this version"):
            assert button("button", name=name).count() == 0


def _read_only(route: "Route") -> None:
    session = route.fetch()
    route.fulfill(response=session, body=json.dumps({**session.json(), "scope": "read"}))
