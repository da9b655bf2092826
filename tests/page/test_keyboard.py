"""The page with a keyboard and a screen reader."""

import json
from pathlib import Path

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.serve_process import served


def focused(tab: Tab, what: str = "textContent") -> str:
    """The element with the focus."""
    return str(tab.page.evaluate(f"document.activeElement.{what} ?? ''"))


def test_everything_works_with_the_keyboard_alone(tab: Tab, tmp_path: Path) -> None:
    press = tab.page.keyboard.press
    with (
        simulator("--speed", "100") as llm,
        served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        for name in ("one", "two"):
            server.ask("/api/runs", body=json.dumps(roadmap(name, 2)).encode())
        tab.page.goto(server.url)
        ended = tab.get(".run-list li[data-status=completed]")
        eventually(lambda: ended.count() == 2, 60)
        press("Tab")
        assert focused(tab) == "Skip to the runs"
        press("Enter")
        assert focused(tab) == "Runs"
        press("Tab")
        assert focused(tab, "id") == "filter-q"
        press("Tab")
        assert focused(tab, "id") == "filter"
        for _ in range(6):
            if "Roadmap two" in focused(tab):
                break
            press("Tab")
        assert "Roadmap two" in focused(tab)
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert tab.page.evaluate(outline) == "solid"
        press("ArrowDown")
        assert "Roadmap one" in focused(tab)
        press("Enter")
        eventually(lambda: focused(tab) == "Roadmap one")
        eventually(lambda: tab.get(".concept").count() == 2)
        while "concept" not in focused(tab, "className"):
            press("Tab")
        press("Enter")
        tab.says("#concept-title", "Concept 0")
        eventually(lambda: tab.get("#concept [role=tab]").count() == 3)
        while focused(tab, "role") != "tab":
            press("Tab")
        press("ArrowRight")
        assert focused(tab) == "resources"
        assert tab.get("#artifact .resources").is_visible()
        press("Escape")
        eventually(lambda: "Concept 0" in focused(tab))
        press("Escape")
        eventually(lambda: "Roadmap one" in focused(tab))
        assert not tab.get("#detail").is_visible()
        tab.quiet()


def test_a_screen_reader_announces_what_ended_and_no_figures(tab: Tab, tmp_path: Path) -> None:
    with (
        simulator("--speed", "100") as llm,
        served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        tab.page.evaluate(
            """() => { window.heard = [];
              const place = document.querySelector("#announcer");
              new MutationObserver(() => heard.push(place.textContent))
                .observe(place, {childList: true}); }"""
        )
        tab.submit(*(roadmap(f"r{n}", 3) for n in range(6)))
        ended = tab.get(".run-list li[data-status=completed]")
        eventually(lambda: ended.count() == 6, 90)
        eventually(lambda: "completed" in "".join(tab.page.evaluate("heard")))
        heard = tab.page.evaluate("heard")
        assert len(heard) <= 8, "18 concepts and 6 runs: gathered, not chattered"
        live = tab.page.evaluate(
            "[...document.querySelectorAll('[aria-live], [role=status], [role=alert]')]"
            ".filter((it) => it.textContent).map((it) => it.id)"
        )
        assert live == ["announcer"]
        bar = tab.get(".run [role=progressbar]").first
        said = "9 of 9 artifacts; 3 of 3 concepts"
        eventually(lambda: bar.get_attribute("aria-valuetext") == said, 60)
        assert "LLM calls: " in (
            tab.get("[data-figure=calls] svg").get_attribute("aria-label") or ""
        )
        tab.quiet()
