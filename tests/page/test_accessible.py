"""Checks of axe against WCAG 2.2 AA in every state of the page, and reduced motion."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.serve_process import TOKEN, Served, served

_RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a run that has failed concepts, and a run in progress."""
    folder = tmp_path_factory.mktemp("server")
    slow = ("--latency", "resources=90000-90000", "--fault", "500=0.4", "--seed", "3")
    with (
        simulator("--speed", "100", *slow) as llm,
        served(
            folder,
            PACELINE_PROVIDER__BASE_URL=llm.base_url,
            PACELINE_PROVIDER__ATTEMPTS="1",
            PACELINE_RUN__FAILURE_THRESHOLD="1",
        ) as it,
    ):
        it.ask("/api/runs", body=json.dumps(roadmap("some", 12)).encode())
        yield it


def faults(tab: Tab) -> list[tuple[str, Any]]:
    """Accessibility violations of the page in its current state."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab.page, options=_RULES).response["violations"]
    return [(one["id"], [node["target"] for node in one["nodes"]]) for one in found]


@pytest.mark.parametrize(
    ("theme", "width"),
    [
        ("light", 1440),
        ("dark", 390),
        pytest.param("light", 390, marks=pytest.mark.soak),
        pytest.param("dark", 1440, marks=pytest.mark.soak),
    ],
)
def test_axe_finds_no_barrier(tab: Tab, server: Served, theme: Any, width: int) -> None:
    tab.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    tab.page.set_viewport_size({"width": width, "height": 900})
    tab.page.goto(server.url)
    tab.says(".failures", "failed")
    assert faults(tab) == []
    for view in ("Limits", "Workers", "Controls"):
        tab.page.get_by_role("link", name=view, exact=True).click()
        tab.says(f"#{view.lower()}-title", view)
        assert faults(tab) == []
    tab.page.get_by_role("link", name="Runs", exact=True).click()
    tab.get(".run").first.click()
    failed = tab.get("[data-concept][data-status=failed]")
    eventually(lambda: failed.count() > 0, 60)
    assert faults(tab) == []
    failed.first.get_by_role("link").click()
    tab.says("#concept .problem", "500")
    assert faults(tab) == []
    tab.page.keyboard.press("Escape")
    tab.get("[data-concept][data-status=generating] a").first.click()
    eventually(lambda: tab.get("#concept [role=tab]").count() == 1, 60)
    assert faults(tab) == []
    tab.page.goto(f"{server.url}/#/runs/nothing")
    tab.says("#detail [role=alert]", "Run not found")
    broken = roadmap("broken", 1)
    del broken["title"]
    tab.submit(broken)
    tab.says(".submission.problem", "was not submitted")
    assert faults(tab) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_barrier_when_disconnected_or_asking_for_a_token(
    tab: Tab, tmp_path: Path, theme: Any
) -> None:
    tab.page.emulate_media(color_scheme=theme)
    with served(tmp_path, "--no-worker", token=TOKEN) as server:
        tab.page.goto(server.url)
        tab.page.fill("#token-value", "wrong-0123456789")
        tab.page.keyboard.press("Enter")
        tab.says("#token-error", "The token is not valid")
        assert faults(tab) == []
        tab.page.fill("#token-value", TOKEN)
        tab.page.keyboard.press("Enter")
        tab.says("#runs-empty", "No runs yet")
        assert faults(tab) == []
    tab.says("#connection", "disconnected since")
    assert faults(tab) == []


def test_reduced_motion_is_respected(tab: Tab, server: Served) -> None:
    moving = """[...document.querySelectorAll("*")].filter((one) => {
      const style = getComputedStyle(one);
      return style.animationName !== "none" || style.transitionDuration !== "0s"; }).length"""
    tab.page.goto(server.url)
    tab.get(".run").first.click()
    eventually(lambda: tab.get("[data-concept][data-status=generating]").count() > 0, 60)
    assert tab.page.evaluate(moving) > 0
    tab.page.emulate_media(reduced_motion="reduce")
    assert tab.page.evaluate(moving) == 0


def test_the_connection_state_stays_visible_when_scrolling(tab: Tab, server: Served) -> None:
    tab.page.set_viewport_size({"width": 390, "height": 500})
    tab.page.goto(server.url)
    tab.get(".run").first.click()
    eventually(lambda: tab.get(".concept").count() == 12, 60)
    tab.get(".concept").last.scroll_into_view_if_needed()
    assert tab.page.evaluate("scrollY") > 0
    assert (
        tab.page.evaluate("document.querySelector('#connection').getBoundingClientRect().top") > 0
    )
