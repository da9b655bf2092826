"""The site of `paceline export --format html` in a browser, opened as files."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.page.test_accessible import faults
from tests.support.browser_tab import Tab
from tests.support.exported_runs import (
    CODE,
    HOSTILE,
    IDS,
    LONG,
    QUESTIONS,
    RIGHT_TO_LEFT,
    exported,
    exporter,
    folder_of,
)

TABLE = "| a | b |\n| --- | --- |\n| 1 | " + LONG + " |\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with hostile names, a quiz, code, and two concepts without content."""

    async def pages() -> Any:
        tutorial = {
            "title": HOSTILE,
            "summary": RIGHT_TO_LEFT,
            "sections": [
                {"title": "One", "content": part, "kind": "explanation"}
                for part in (HOSTILE, CODE, TABLE, f"```\n{LONG}\n```")
            ],
            "exercises": ["Do it."],
            "minutes": 10,
        }
        content = {"tutorial": tutorial, "quiz": {"questions": QUESTIONS}}
        run = await exported(content, concepts=IDS[:3])
        return await folder_of(exporter("html"), run)

    folder = tmp_path_factory.mktemp("site")
    with ThreadPoolExecutor(1) as thread:  # this one runs the loop of Playwright
        files = thread.submit(asyncio.run, pages()).result()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)]
)
def test_axe_finds_no_barrier_and_no_page_is_wider_than_the_screen(
    tab: Tab, site: Path, theme: Any, width: int
) -> None:
    tab.page.emulate_media(color_scheme=theme)
    tab.page.set_viewport_size({"width": width, "height": 800})
    for name in ("index.html", "1-etc-passwd.html"):
        tab.page.goto((site / name).as_uri())
        for details in tab.get("details").all():
            details.locator("summary").click()
        assert faults(tab) == []
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    back = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (theme == "light")


def test_the_site_is_read_with_the_keyboard_and_nothing_of_it_runs(tab: Tab, site: Path) -> None:
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.goto((site / "index.html").as_uri())
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.className") == "skip"
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/1-etc-passwd.html")
    details = tab.get("details")
    assert details.first.get_attribute("open") is None
    details.first.locator("summary").focus()
    tab.page.keyboard.press("Enter")
    assert details.first.get_attribute("open") is not None
    tab.get("a[rel=next]").focus()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/2-a.b.html")
    tab.get(".path a").click()
    tab.page.wait_for_url("**/index.html")
    assert tab.get(".remark").count() == 2
    assert {url.rpartition("/")[0] for url in asked} == {site.as_uri()}
    assert (tab.errors, tab.dialogs) == ([], [])
