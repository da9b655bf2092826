"""Pauses, limits, drained workers, priority and budgets on the page, and who sees what."""

import json
from pathlib import Path
from urllib.error import HTTPError

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.serve_process import Served, served

OPERATOR, ACME, RIVAL, READS = (
    f"{name}-0123456789abcdef" for name in ("ops", "acme", "rival", "r")
)
TOKENS = f"""[{{token = "{OPERATOR}", scope = "operator"}},
    {{token = "{ACME}", tenant = "acme"}}, {{token = "{RIVAL}", tenant = "rival"}},
    {{token = "{READS}", tenant = "acme", scope = "read"}}]""".replace("\n", " ")


def button(tab: Tab, name: str, within: str = "body") -> None:
    """Press a button by its exact name."""
    tab.get(within).get_by_role("button", name=name, exact=True).click()


def enter(tab: Tab, server: Served, token: str, view: str = "") -> None:
    """Open a view with a token."""
    tab.page.goto(f"{server.url}/#/{view}")
    tab.page.evaluate(f"sessionStorage.setItem('paceline-token', '{token}')")
    tab.page.reload()
    tab.says("#connection", "live")


def test_everything_is_paused_with_a_reason_and_resumed(tab: Tab, tmp_path: Path) -> None:
    with served(tmp_path, "--no-worker") as server:
        server.ask("/api/runs", body=json.dumps(roadmap("learn", 2)).encode())
        tab.page.goto(f"{server.url}/#/controls")
        tab.says("#changes-note", "Nothing was changed yet.")
        button(tab, "Pause…", "#controls")
        tab.page.fill("#pause-form [name=reason]", "repair <b>now</b>")
        button(tab, "Pause", "#pause-form")
        tab.says("#pauses .pause", "Everything is paused by api ")
        tab.says("#pauses .pause", "repair <b>now</b>")
        assert tab.page.evaluate("document.activeElement.id") == "pause-work"
        tab.says("#changes-rows tr", "paused everything")
        tab.page.get_by_role("link", name="Runs", exact=True).click()
        assert tab.get("#pauses .pause").is_visible()
        tab.get(".run").click()
        tab.says("#detail .run-waits", "everything is paused by api ")
        button(tab, "Resume everything", "#pauses")
        eventually(lambda: not tab.get("#pauses").is_visible(), 60)
        eventually(lambda: not tab.get("#detail .run-waits").is_visible(), 60)
        tab.page.get_by_role("link", name="Controls", exact=True).click()
        tab.says("#changes-rows tr", "resumed everything")
        assert tab.get("#nothing-paused").is_visible()
        tab.quiet()


def test_a_pause_of_another_page_appears_by_itself(tab: Tab, tmp_path: Path) -> None:
    with served(tmp_path, "--no-worker") as server:
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        body = json.dumps({"target": "key:openai:gpt-4o", "reason": "quota"}).encode()
        server.ask("/api/controls/pause", body=body)
        tab.says("#pauses .pause", "Calls to openai:gpt-4o are paused by")
        tab.quiet()


def test_a_tenant_pauses_itself_only_and_a_reader_nothing(tab: Tab, tmp_path: Path) -> None:
    with served(
        tmp_path,
        "--no-worker",
        PACELINE_WEB__TOKENS=TOKENS,
        PACELINE_STRATEGY="global",
        PACELINE_STRATEGIES__GLOBAL__REQUESTS_PER_MINUTE="100",
    ) as server:
        enter(tab, server, ACME, "controls")
        button(tab, "Pause…", "#controls")
        tab.says("#pause-hint", "all runs of tenant acme")
        assert not tab.get("#pause-choice").is_visible()
        button(tab, "Pause", "#pause-form")
        tab.says("#pauses .pause", "Tenant acme is paused by tenant acme")
        tab.page.get_by_role("link", name="Limits", exact=True).click()
        tab.says("#numbers-rows tr", "100 requests a minute")
        assert tab.get("#limits").get_by_role("button").count() == 0
        enter(tab, server, READS, "controls")
        tab.says("#pauses .pause", "Tenant acme is paused")
        for place in ("#pauses", "#controls"):
            assert tab.get(place).get_by_role("button").count() == 0
        enter(tab, server, RIVAL, "controls")
        tab.says("#changes-note", "Nothing was changed yet.")
        assert not tab.get("#pauses").is_visible()
        enter(tab, server, OPERATOR, "controls")
        button(tab, "Pause…", "#controls")
        tab.page.select_option("#pause-form [name=scope]", "key")
        tab.page.fill("#pause-form [name=name]", "nonsense")
        button(tab, "Pause", "#pause-form")
        tab.says("#pause-form .problem", "a key must be provider and model")
        tab.page.fill("#pause-form [name=name]", "openai:gpt-4o")
        button(tab, "Pause", "#pause-form")
        eventually(lambda: tab.get("#pauses .pause").count() == 2, 60)
        button(tab, "Resume tenant:acme", "#pauses")
        eventually(lambda: tab.get("#pauses .pause").count() == 1, 60)
        tab.quiet()


def test_an_operator_changes_a_limit_and_resets_it(tab: Tab, tmp_path: Path) -> None:
    with served(
        tmp_path,
        "--no-worker",
        PACELINE_STRATEGY="global",
        PACELINE_STRATEGIES__GLOBAL__REQUESTS_PER_MINUTE="100",
    ) as server:
        tab.page.goto(f"{server.url}/#/limits")
        tab.says("#numbers-rows tr", "100 requests a minute")
        button(tab, "Change global", "#numbers-rows")
        assert tab.page.input_value("#limit-form [name=requests_per_minute]") == "100"
        button(tab, "Change", "#limit-form")
        tab.says("#limit-form .problem", "Change at least one number")
        tab.page.fill("#limit-form [name=requests_per_minute]", "30")
        button(tab, "Change", "#limit-form")
        tab.says("#numbers-rows tr", "30 requests a minute (settings: 100)")
        button(tab, "Reset global", "#numbers-rows")
        eventually(lambda: "settings" not in tab.get("#numbers-rows tr").inner_text(), 60)
        tab.page.get_by_role("link", name="Controls", exact=True).click()
        tab.says("#changes-rows tr", "changed limit global")
        tab.says("#changes-rows tr", "requests_per_minute=30")
        tab.quiet()


def test_a_worker_is_drained_after_a_confirmation(tab: Tab, tmp_path: Path) -> None:
    with served(tmp_path) as server:
        tab.page.goto(f"{server.url}/#/workers")
        drain = tab.get("#workers-rows").get_by_role("button")
        drain.click()  # the tab dismisses the dialog
        assert "exits" in tab.dialogs.pop()
        tab.page.remove_listener("dialog", tab.dismiss)
        tab.page.once("dialog", lambda dialog: dialog.accept())
        drain.click()
        tab.says("#workers-rows button", "draining")
        tab.page.get_by_role("link", name="Controls", exact=True).click()
        tab.says("#changes-rows tr", "drained ")

        def drained() -> bool:
            try:
                server.ask("/ready")
            except HTTPError as error:
                return error.code == 503
            return False

        eventually(drained, 60)
        server.ask("/api/runs", body=json.dumps(roadmap("later", 1)).encode())
        tab.page.get_by_role("link", name="Runs", exact=True).click()
        tab.says(".run .status", "queued")
        tab.quiet()


def test_a_roadmap_is_submitted_with_its_priority(tab: Tab, tmp_path: Path) -> None:
    with served(tmp_path, "--no-worker") as server:
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        tab.page.select_option("#priority", "high")
        tab.submit(roadmap("urgent", 2))
        tab.says(".run .tag", "high")
        assert server.ask("/api/runs")["runs"][0]["priority"] == "high"
        tab.get(".run").click()
        tab.says(".facts", "high priority")
        tab.quiet()


def test_a_run_that_has_spent_its_budget_is_resumed_with_a_larger_one(
    tab: Tab, tmp_path: Path
) -> None:
    with (
        simulator("--speed", "100") as llm,
        served(
            tmp_path,
            PACELINE_PROVIDER__BASE_URL=llm.base_url,
            PACELINE_STRATEGY="budget",
            PACELINE_PROVIDER__PROMPT_PRICE="1",
            PACELINE_PROVIDER__COMPLETION_PRICE="1",
        ) as server,
    ):
        given = {"roadmap": roadmap("dear", 2), "budget": 0.000001}
        server.ask("/api/runs", body=json.dumps(given).encode())
        tab.page.goto(server.url)
        tab.says(".run .status", "paused")
        tab.get(".run").click()
        button(tab, "Resume…", "#detail")
        tab.says("#budget-form-hint", "budget: ")
        tab.page.fill("#budget-form [name=budget]", "5")
        button(tab, "Resume", "#budget-form")
        tab.says(".detail-head .status", "completed")
        assert server.ask("/api/runs")["runs"][0]["budget"] == 5
        tab.quiet()


def test_actions_on_many_runs_that_destroy_something_ask_first(tab: Tab, tmp_path: Path) -> None:
    with served(tmp_path, "--no-worker") as server:
        for n in range(3):
            server.ask("/api/runs", body=json.dumps(roadmap(f"r{n}", 1)).encode())
        tab.page.goto(server.url)
        eventually(lambda: tab.get(".run").count() == 3, 60)
        button(tab, "Select all shown")
        for name in ("Cancel", "Delete…"):
            button(tab, name, "#selection")  # the tab dismisses the dialog
            assert "3 runs" in tab.dialogs.pop()
        assert {one["status"] for one in server.ask("/api/runs")["runs"]} == {"queued"}
        tab.page.remove_listener("dialog", tab.dismiss)
        tab.page.once("dialog", lambda dialog: dialog.accept())
        button(tab, "Delete…", "#selection")
        eventually(lambda: tab.get(".run").count() == 0, 60)
        assert server.ask("/api/runs")["runs"] == []
        tab.quiet()
