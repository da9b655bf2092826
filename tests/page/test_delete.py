"""Deleting a run on the page."""

from pathlib import Path

from tests.support.browser_tab import Tab, roadmap
from tests.support.eventually import eventually
from tests.support.serve_process import served


def test_a_run_is_deleted_after_a_confirmation(tab: Tab, tmp_path: Path) -> None:
    with served(tmp_path, "--no-worker") as server:
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        tab.submit(roadmap("learn", 2))
        tab.says(".run-title", "Roadmap learn")
        tab.get(".run").click()
        button = tab.page.get_by_role("button", name="Delete…")
        button.click()  # the tab dismisses the dialog
        (asked,) = tab.dialogs
        assert "Roadmap learn" in asked
        tab.dialogs.clear()
        tab.page.remove_listener("dialog", tab.dismiss)
        tab.page.once("dialog", lambda dialog: dialog.accept())
        button.click()
        eventually(lambda: tab.get(".run").count() == 0, 60)
        tab.says("#runs-empty", "No runs yet")
        tab.quiet()
