"""A real Chromium with the page of a real ``paceline serve``."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.eventually import eventually
from tests.web.serving import Served, served

if TYPE_CHECKING:  # `make test-web` installs it; nothing else needs it
    from playwright.sync_api import Browser, Dialog, FilePayload, Locator, Page

#: Milliseconds that anything here may take on a machine that has much else to do.
PATIENCE = 90_000

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


@dataclass
class Tab:
    """A tab, and what went wrong in it.

    Attributes:
        page: Playwright's page.
        errors: exceptions that no code of the page caught.
        dialogs: `alert` and the like.
    """

    page: "Page"
    errors: list[str] = field(default_factory=list[str])
    dialogs: list[str] = field(default_factory=list[str])

    def seen(self) -> dict[str, Any]:
        """What the watching script saw."""
        found: dict[str, Any] = self.page.evaluate("window.seen")
        return found

    def dismiss(self, dialog: "Dialog") -> None:
        """Record a dialog's message and dismiss it."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def get(self, selector: str) -> "Locator":
        """Elements by a CSS selector."""
        return self.page.locator(selector)

    def says(self, selector: str, text: str, within: float = PATIENCE / 1000) -> None:
        """Wait until one of these elements says something."""
        place = self.get(selector)

        def said() -> bool:
            found = place.all_text_contents()
            assert any(text in one for one in found), (text, found)
            return True

        eventually(said, within)

    def submit(self, *roadmaps: dict[str, Any]) -> None:
        """Choose files by the button."""
        files: list[FilePayload] = [
            {
                "name": f"{one['roadmap_id']}.json",
                "mimeType": "application/json",
                "buffer": json.dumps(one).encode(),
            }
            for one in roadmaps
        ]
        self.page.set_input_files("#file", files)

    def quiet(self) -> None:
        """Check that there was no error and no violation of the policy."""
        assert not self.errors
        assert not self.dialogs
        assert self.seen()["violations"] == []


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


def roadmap(roadmap_id: str, concepts: int, **concept: str) -> dict[str, Any]:
    """A roadmap of two modules; ``concept`` changes each concept."""

    def module(number: int, ids: range) -> dict[str, Any]:
        return {
            "module_id": f"m{number}",
            "name": f"Module {number}",
            "concepts": [{"concept_id": f"c{n}", "name": f"Concept {n}", **concept} for n in ids],
        }

    half = (concepts + 1) // 2
    modules = [module(1, range(half)), module(2, range(half, concepts))]
    return {
        "roadmap_id": roadmap_id,
        "title": f"Roadmap {roadmap_id}",
        "stages": [
            {
                "stage_id": "s1",
                "name": "First stage",
                "modules": [one for one in modules if one["concepts"]],
            }
        ],
    }
