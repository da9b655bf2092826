"""A tab of a real browser, and the roadmaps that the tests of the page submit."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.eventually import eventually

if TYPE_CHECKING:  # `make test-web` installs it; nothing else needs it
    from playwright.sync_api import Dialog, FilePayload, Locator, Page

#: Milliseconds that any wait may take on a busy machine.
PATIENCE = 90_000


@dataclass
class Tab:
    """A tab, and the errors in it.

    Attributes:
        page: Playwright's page.
        errors: uncaught exceptions of the page.
        dialogs: `alert` and the like.
    """

    page: "Page"
    errors: list[str] = field(default_factory=list[str])
    dialogs: list[str] = field(default_factory=list[str])

    def seen(self) -> dict[str, Any]:
        """The records of the watching script."""
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
        """Wait until one of these elements contains a text."""
        place = self.get(selector)

        def said() -> bool:
            found = place.all_text_contents()
            assert any(text in one for one in found), (text, found)
            return True

        eventually(said, within)

    def submit(self, *roadmaps: dict[str, Any]) -> None:
        """Choose files with the button."""
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
