"""A real Chromium with the page of a real ``paceline serve``."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser_tab import PATIENCE, Tab
from tests.support.serve_process import Served, served

if TYPE_CHECKING:  # `make test-web` installs it; nothing else needs it
    from playwright.sync_api import Browser

#: Runs before the page: keeps what the page must not do, and how long it held the browser.
_WATCH = """
window.seen = {violations: [], long: [], ran: 0};
addEventListener("securitypolicyviolation", (event) =>
  seen.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) seen.long.push(Math.round(entry.duration));
}).observe({type: "longtask", buffered: true});
"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need a browser, so that `make test` skips this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("page")


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """The machine's own Chromium."""
    from playwright.sync_api import sync_playwright

    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    assert found, "no Chromium: apt-get install chromium, or name one in $CHROMIUM"
    # Its own sandbox wants rights that containers and root have not.
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=found, args=["--no-sandbox"]) as it,
    ):
        yield it


@pytest.fixture(scope="session")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server without a worker, shared by tests."""
    with served(tmp_path_factory.mktemp("idle"), "--no-worker") as server:
        yield server


@pytest.fixture
def tab(browser: "Browser") -> Iterator[Tab]:
    """A new tab of a new profile."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    context.add_init_script(_WATCH)
    page = context.new_page()
    found = Tab(page)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on("dialog", found.dismiss)
    yield found
    context.close()
