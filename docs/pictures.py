"""Takes the pictures of the page again: ``make pictures``.

It runs the demo's roadmaps under two strategies, with a simulated LLM that sometimes fails, in a
real Chromium. If the machine has no Chinese font, it skips the roadmaps with Chinese titles.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).parent / "pictures"
SIZES = ((1440, 760), (900, 760), (390, 844))
THEMES = ("light", "dark")

_PACELINE = [sys.executable, "-m", "paceline"]
_SETTINGS = {
    "PACELINE_STRATEGY": "per-roadmap,adaptive",
    "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": "10",
    "PACELINE_PROVIDER__API_KEY": "any",
    "PACELINE_PROVIDER__ATTEMPTS": "2",
    "PACELINE_PROVIDER__PROMPT_PRICE": "0.15",
    "PACELINE_PROVIDER__COMPLETION_PRICE": "0.6",
}
_SIMULATOR = ["--speed", "3", "--fault", "500=0.1", "--max-concurrency", "48"]
#: Seconds between two submissions: real roadmaps do not arrive at the same moment.
_PAUSE = 5


def main() -> None:
    """Take all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        _running(folder, "simulator", *_SIMULATOR) as llm,
        _running(folder, "serve", PACELINE_PROVIDER__BASE_URL=llm["base_url"]) as server,
        sync_playwright() as playwright,
    ):
        chromium = next(
            path
            for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser")
            if name and (path := shutil.which(name))
        )
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        _take_all(browser, server["url"])
        browser.close()


def _take_all(browser: Browser, url: str) -> None:
    tabs = {(size, theme): _tab(browser, url, size, theme) for size in SIZES for theme in THEMES}
    for roadmap in _roadmaps():
        _request(f"{url}/api/runs", roadmap)
        time.sleep(_PAUSE)

    def runs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = _request(f"{url}/api/runs")["runs"]
        return found

    _wait_until(lambda: _finished_share(runs()) >= 0.45 and any(map(_shows_failures, runs())))
    run = next(filter(_shows_failures, runs()))  # it may end while the pictures are taken
    for (size, theme), page in tabs.items():
        _save(page.screenshot, page, f"overview-{size[0]}-{theme}")
    address = f"#/runs/{run['run_id']}"
    for (size, theme), place, name, ready in (
        ((SIZES[0], "light"), f"?tab=timeline{address}", "timeline", "rect.bar.saving"),
        ((SIZES[2], "dark"), f"?tab=timeline{address}", "timeline", "rect.bar.saving"),
        ((SIZES[0], "light"), "#/limits", "limits", ".changes li"),
        ((SIZES[2], "dark"), "#/limits", "limits", ".changes li"),
        ((SIZES[0], "light"), "#/workers", "workers", "#errors li"),
    ):
        page = tabs[size, theme]
        page.goto(f"{url}/{place}")
        page.wait_for_selector(ready, state="attached")
        _save(page.screenshot, page, f"{name}-{size[0]}-{theme}")
    for size, theme in ((SIZES[0], "light"), (SIZES[2], "dark")):
        page = tabs[size, theme]
        page.goto(f"{url}/{address}")
        page.wait_for_selector("[data-status=failed] .reason")
        _save(page.screenshot, page, f"run-{size[0]}-{theme}")
    pause = {"target": "tenant:acme", "reason": "invoice 42 is open"}
    _request(f"{url}/api/controls/pause", json.dumps(pause).encode())
    page = tabs[SIZES[0], "light"]
    page.goto(f"{url}/#/controls")
    page.wait_for_selector("#changes-rows tr")
    _save(page.screenshot, page, "controls-1440-light")
    _request(f"{url}/api/controls/resume", json.dumps({"target": "tenant:acme"}).encode())
    concepts = _request(f"{url}/api/runs/{run['run_id']}/concepts?status=completed")["concepts"]
    for (size, theme), step in (((SIZES[0], "dark"), "tutorial"), ((SIZES[0], "light"), "quiz")):
        page = tabs[size, theme]
        page.goto(f"{url}/{address}/{concepts[0]['concept_id']}")
        page.get_by_role("tab", name=step).click()
        _save(page.locator("#concept").screenshot, page, f"{step}-{theme}")


def _finished_share(runs: Sequence[dict[str, Any]]) -> float:
    """The share of all concepts that are finished."""
    return sum(run["completed"] + run["failed"] for run in runs) / sum(run["total"] for run in runs)


def _shows_failures(run: dict[str, Any]) -> bool:
    """Whether a run is a good example: running, with failures, and with an English title."""
    return bool(run["failed"] and run["status"] == "running" and str(run["title"]).isascii())


def _tab(browser: Browser, url: str, size: tuple[int, int], theme: str) -> Page:
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
    )
    page.goto(url)
    page.wait_for_selector("#connection[data-state=open]")
    return page


def _save(take: Callable[..., bytes], page: Page, name: str) -> None:
    page.wait_for_timeout(1000)  # until a frame or two have shown the newest figures
    take(path=FOLDER / f"{name}.png", animations="disabled")
    print(FOLDER / f"{name}.png")  # noqa: T201


def _roadmaps() -> Sequence[bytes]:
    listed = subprocess.run(["fc-list", ":lang=zh"], capture_output=True, check=False)  # noqa: S607
    folder = resources.files("paceline_adapters.demo") / "roadmaps"
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    texts = [file.read_bytes() for file in files if file.name.endswith(".json")]
    return [one for one in texts if listed.stdout or str(json.loads(one)["title"]).isascii()]


@contextmanager
def _running(folder: str, *arguments: str, **settings: str) -> Generator[dict[str, str]]:
    """Run a command that prints its address; stop it at the end."""
    process = subprocess.Popen(  # noqa: S603
        [*_PACELINE, arguments[0], "--port", "0", "--json", *arguments[1:]],
        cwd=folder,
        env={**os.environ, **_SETTINGS, **settings},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


def _request(url: str, body: bytes | None = None) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)


def _wait_until(reached: Callable[[], bool]) -> None:
    while not reached():
        time.sleep(0.2)


if __name__ == "__main__":
    main()
