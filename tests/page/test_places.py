"""Every view has an address, for going back, reloading and sharing."""

import json
from pathlib import Path

import pytest

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.serve_process import TOKEN, Served, served


def made(server: Served, name: str, *ids: str) -> str:
    """A run of a roadmap with concepts of these ids."""
    wanted = roadmap(name, len(ids))
    concepts = [one for module in wanted["stages"][0]["modules"] for one in module["concepts"]]
    for concept, concept_id in zip(concepts, ids, strict=True):
        concept["concept_id"] = concept_id
    run_id: str = server.ask("/api/runs", body=json.dumps(wanted).encode())["run"]["run_id"]
    return run_id


def test_back_and_forward_navigate_between_runs_and_concepts(tab: Tab, idle: Served) -> None:
    first, second = made(idle, "first", "a", "b"), made(idle, "second", "c")
    tab.page.goto(idle.url)
    tab.get(f"[data-run='{first}'] a").click()
    tab.says("#detail-title", "Roadmap first")
    tab.get(f"[data-run='{second}'] a").click()
    tab.says("#detail-title", "Roadmap second")
    tab.get("[data-concept=c] a").click()
    tab.says("#concept-title", "Concept 0")
    tab.page.go_back()
    eventually(lambda: not tab.get("#concept").is_visible())
    tab.says("#detail-title", "Roadmap second")
    tab.page.go_back()
    tab.says("#detail-title", "Roadmap first")
    eventually(lambda: tab.get("[data-concept]").count() == 2)
    tab.page.go_back()
    eventually(lambda: not tab.get("#detail").is_visible())
    tab.page.go_forward()
    tab.page.go_forward()
    tab.page.go_forward()
    tab.says("#concept-title", "Concept 0")
    tab.quiet()


def test_an_address_can_be_reloaded_and_opened_in_another_tab(tab: Tab, tmp_path: Path) -> None:
    slow = simulator("--latency", "tutorial=600-600")
    with slow as llm, served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server:
        run_id = made(server, "shared", "a", "b")
        place = f"{server.url}/#/runs/{run_id}"
        tab.page.goto(f"{place}/a")
        tab.says("#concept-title", "Concept 0")
        tab.says("#concept .status", "generating")
        tab.page.reload()
        tab.says("#concept .status", "generating")
        tab.page.keyboard.press("Escape")
        other = Tab(tab.page.context.new_page())
        other.page.goto(place)
        other.page.get_by_role("button", name="Cancel").click()
        for one in (other, tab):
            one.says(".detail-head .status", "cancelled")
            eventually(lambda: one.get("[data-concept][data-status=generating]").count() == 0, 60)  # noqa: B023
        tab.page.get_by_role("button", name="Resume").click()
        for one in (tab, other):
            one.says(".detail-head .status", "running")
        tab.quiet()


@pytest.mark.parametrize("concept_id", ["a/b", "a?b#c", "a b", "%2F", "тест 🙂", "'\"<>&#x2f;"])
def test_any_id_has_an_address(tab: Tab, idle: Served, concept_id: str) -> None:
    made(idle, "ids", concept_id)
    tab.page.goto(idle.url)
    tab.get(".run").last.click()
    tab.get(".concept").first.click()
    tab.says("#concept-title", "Concept 0")
    assert not tab.get("#concept .problem").is_visible()
    tab.page.reload()
    tab.says("#concept-title", "Concept 0")
    tab.quiet()


def test_an_id_that_no_path_can_name_is_reported(tab: Tab, idle: Served) -> None:
    run_id = made(idle, "dots", "..", "a")
    tab.page.goto(f"{idle.url}/#/runs/{run_id}")
    tab.get(".concept").first.click()
    tab.says("#concept .problem", "The API has no address for the concept id")
    tab.quiet()


def test_a_read_only_token_gets_no_buttons(tab: Tab, tmp_path: Path) -> None:
    tokens = f'[{{token = "reads-0123456789", scope = "read"}}, {{token = "{TOKEN}"}}]'
    with served(tmp_path, "--no-worker", PACELINE_WEB__TOKENS=tokens) as server:
        writer = Served(server.url, server.process, TOKEN)
        run_id = made(writer, "looked-at", "a")
        tab.page.goto(f"{server.url}/#/runs/{run_id}")
        tab.page.fill("#token-value", "reads-0123456789")
        tab.page.keyboard.press("Enter")
        tab.says("#detail-title", "Roadmap looked-at")
        tab.says(".submit", "This token is read-only.")
        assert tab.get("input[type=file]").count() == 0
        assert tab.get(".actions button:visible").count() == 0
        tab.quiet()
