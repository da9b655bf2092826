"""The list of a real server whose store has ten thousand runs."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from paceline_adapters.sql import schema
from paceline_adapters.sql.store import SqlStore
from pydantic import SecretStr

from tests.support.browser_tab import Tab
from tests.support.databases import SqlitePlace
from tests.support.eventually import eventually
from tests.support.many_runs import fill_with_runs
from tests.support.serve_process import Served, served

RUNS = 10_000
#: Seconds for any page of the list on a busy machine. Alone, a page takes a few hundredths.
PATIENCE = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with runs that were written to its database at once."""
    folder = tmp_path_factory.mktemp("many")
    path = folder / "paceline.db"

    async def fill() -> None:
        async with SqlitePlace(path).store() as store:
            assert isinstance(store, SqlStore)
            await fill_with_runs(store, RUNS)

    with ThreadPoolExecutor(1) as thread:  # this one runs the loop of Playwright
        thread.submit(schema.upgrade, SecretStr(f"sqlite:///{path}")).result()
        thread.submit(asyncio.run, fill()).result()
    with served(folder, "--no-worker") as it:
        yield it


def titles(tab: Tab, first: str, number: int) -> None:
    """Wait until the list has a number of rows and this first title."""
    rows = tab.get(".run-title")
    eventually(lambda: rows.count() == number and rows.first.text_content() == first, 60)


def test_the_list_pages_searches_and_filters(tab: Tab, server: Served) -> None:
    tab.page.goto(server.url)
    tab.says("#connection", "live")
    # Unfinished runs come first: the three that are paused.
    titles(tab, "Course 3", 100)
    tab.page.get_by_role("button", name="Older runs").click()
    titles(tab, "Course 9900", 100)
    tab.page.get_by_role("button", name="Older runs").click()
    titles(tab, "Course 9800", 100)
    tab.page.get_by_role("button", name="Newest runs").click()
    tab.page.select_option("#filter-order", "oldest")
    titles(tab, "Course 1", 100)
    tab.page.select_option("#filter-order", "")
    tab.page.fill("#filter-q", "course 777")
    titles(tab, "Course 7779", 11)
    tab.page.fill("#filter-q", "")
    tab.page.select_option("#filter", "cancelled")
    titles(tab, "Course 9501", 19)
    tab.page.select_option("#filter", "")
    tab.get("#more-filters summary").click()
    tab.page.fill("#filter-tenant", "rare")
    titles(tab, "Course 12", 3)
    tab.get(".run").first.click()
    tab.says("#detail-title", "Course 12")
    assert tab.page.evaluate("document.querySelectorAll('#runs *').length") <= 2_000
    tab.quiet()


@pytest.mark.parametrize(
    "query",
    [
        "",
        "order=oldest",
        "status=completed",
        "status=queued&status=running&status=paused",
        "q=course+777",
        "q=no+such+title",
        "tenant=rare",
        "tenant=acme&status=partial&status=failed",
        "since=2020-01-01&until=2099-01-01",
    ],
)
def test_the_api_answers_soon(server: Served, query: str) -> None:
    began = time.monotonic()
    page = server.ask(f"/api/runs?limit=100&totals=true&{query}")
    assert time.monotonic() - began < PATIENCE
    assert len(page["runs"]) <= 100
