"""The list of runs: search, filters, pages, links to each state, and actions on many runs."""

import json
from collections.abc import Iterator

import pytest

from tests.support.browser_tab import Tab, roadmap
from tests.support.eventually import eventually
from tests.support.serve_process import Served, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with six queued runs and two cancelled ones."""
    with served(tmp_path_factory.mktemp("list"), "--no-worker") as it:
        for n in range(8):
            given = {**roadmap(f"r{n}", 2), "title": f"{'Rust' if n % 2 else 'Python'} {n}"}
            run = it.ask("/api/runs", body=json.dumps(given).encode())["run"]["run_id"]
            if n < 2:
                it.ask(f"/api/runs/{run}/cancel", body=b"")
        yield it


def titles(tab: Tab, *expected: str) -> None:
    """Wait until the list has these titles."""
    found = tab.get(".run-title")
    eventually(lambda: found.all_text_contents() == list(expected), 60)


def test_a_search_and_its_filters_are_restored_from_the_address(tab: Tab, server: Served) -> None:
    tab.page.goto(server.url)
    tab.says("#connection", "live")
    tab.page.fill("#filter-q", "rust")
    titles(tab, "Rust 7", "Rust 5", "Rust 3", "Rust 1")
    tab.page.select_option("#filter", "queued,running,paused")
    titles(tab, "Rust 7", "Rust 5", "Rust 3")
    tab.page.select_option("#filter-order", "oldest")
    titles(tab, "Rust 3", "Rust 5", "Rust 7")
    tab.get(".run").first.click()
    tab.says("#detail-title", "Rust 3")
    tab.page.reload()
    titles(tab, "Rust 3", "Rust 5", "Rust 7")
    tab.says("#detail-title", "Rust 3")
    assert tab.page.input_value("#filter-q") == "rust"
    tab.page.get_by_role("button", name="Clear filters").click()
    eventually(lambda: tab.get(".run").count() == 8, 60)
    assert "q=" not in tab.page.url
    tab.page.fill("#filter-q", "nothing like this")
    tab.says("#runs-empty", "No run matches these filters.")
    tab.quiet()


def test_runs_are_filtered_by_the_day_of_their_submission(tab: Tab, server: Served) -> None:
    tab.page.goto(f"{server.url}/?since=2999-01-01")
    tab.says("#runs-empty", "No run matches these filters.")
    assert tab.page.input_value("#filter-since") == "2999-01-01"
    tab.page.goto(f"{server.url}/?since=2020-01-01&q=python")
    titles(tab, "Python 6", "Python 4", "Python 2", "Python 0")
    tab.quiet()


def test_many_runs_are_paused_and_resumed_at_once(tab: Tab, server: Served) -> None:
    tab.page.goto(f"{server.url}/?status=queued,running,paused")
    eventually(lambda: tab.get(".run").count() == 6, 60)
    assert not tab.get("#selection").is_visible()
    tab.page.get_by_role("checkbox", name="Select Rust 7").check()
    tab.says("#selection-text", "1 selected")
    tab.page.get_by_role("button", name="Select all shown").click()
    tab.says("#selection-text", "6 selected")
    tab.get("#selection").get_by_role("button", name="Pause").click()
    eventually(lambda: tab.get(".run-list li[data-status=paused]").count() == 6, 60)
    assert not tab.get("#selection").is_visible()
    tab.page.get_by_role("checkbox", name="Select Rust 7").check()
    tab.get("#selection").get_by_role("button", name="Resume").click()
    eventually(lambda: tab.get(".run-list li[data-status=queued]").count() == 1, 60)
    tab.quiet()


def test_a_hostile_title_and_filter_are_shown_as_text(tab: Tab, idle: Served) -> None:
    hostile = '<img src=x onerror="seen.ran += 1">'
    given = {**roadmap("hostile", 1), "title": hostile}
    idle.ask("/api/runs", body=json.dumps(given).encode())
    tab.page.goto(f"{idle.url}/?q=%3Cimg%20src&tenant=")
    titles(tab, hostile)
    tab.page.goto(f"{idle.url}/?q=%3Cscript%3Eseen.ran%3D1%3C%2Fscript%3E&status=bad&order=bad")
    eventually(lambda: tab.get("#runs-empty").is_visible(), 60)
    assert tab.seen()["ran"] == 0
    tab.quiet()


def test_ten_thousand_runs_do_not_hold_the_browser(tab: Tab, server: Served) -> None:
    """The page asks for a hundred rows, however many runs there are."""
    made = server.ask("/api/runs?limit=1")["runs"][0] | {"status": "completed"}

    def page(size: int, before: int) -> dict[str, object]:
        rows = [{**made, "run_id": f"{n:05}"} for n in range(before - 1, before - 1 - size, -1)]
        return {"runs": rows, "before": f"{before - size:05}"}

    tab.page.route("**/api/runs?limit=100**", lambda it: it.fulfill(json=page(100, 10_000)))
    tab.page.route("**/api/runs?status=**", lambda it: it.fulfill(json=page(1_000, 9_900)))
    tab.page.goto(server.url)
    eventually(lambda: tab.get(".run").count() == 100, 60)
    assert tab.page.evaluate("document.querySelectorAll('#runs *').length") <= 1_800
    tab.page.fill("#filter-q", "x")
    eventually(lambda: tab.page.evaluate("location.search") == "?q=x", 60)
    assert max(tab.seen()["long"], default=0) <= 600
    tab.quiet()
