"""Costs on the page, the notice of a budget, and why a run is paused."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.page.test_accessible import faults
from tests.page.test_keyboard import focused
from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.serve_process import Served, served

if TYPE_CHECKING:
    from playwright.sync_api import Route

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a run that has reached the budget of the day."""
    folder = tmp_path_factory.mktemp("short")
    (folder / "paceline.toml").write_text(
        'strategy = ["budget", "per-roadmap"]\n'
        "[provider]\nprompt_price = 1\ncompletion_price = 4\n"
        "[strategies.budget]\nper_day = 0.06\n"
    )
    with (
        simulator("--speed", "100") as llm,
        served(folder, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        server.ask("/api/runs", body=json.dumps(roadmap("long", 40)).encode())
        eventually(lambda: server.ask("/api/runs")["runs"][0]["status"] == "paused", 60)
        yield server


def open_costs(tab: Tab, by: str) -> None:
    """Open the table, and choose what it sums up by."""
    summary = tab.get("#costs summary")
    if tab.get("#costs").get_attribute("open") is None:
        summary.click()
    tab.page.select_option("#costs-by", by)
    tab.says("#costs-name", by)


def test_costs_are_summed_up_by_model_step_day_and_run(tab: Tab, short: Served) -> None:
    costs = {by: short.ask(f"/api/costs?by={by}")["costs"] for by in ("model", "step", "day")}
    tab.page.goto(short.url)
    total = sum(one["cost"] for one in costs["model"])
    tab.says("#costs-total", f"{total:.4f} USD")
    for by, lines in costs.items():
        open_costs(tab, by)
        for line in lines:
            tab.says("#costs-lines tr", line["name"] or "calls without an artifact")
            tab.says("#costs-lines tr", f"{line['cost']:.4f} USD")
    open_costs(tab, "run")
    tab.get("#costs-lines a").click()
    tab.says("#detail-title", "Roadmap long")
    tab.quiet()


def test_one_notice_says_that_most_of_a_budget_is_spent(tab: Tab, short: Served) -> None:
    (day,) = short.ask("/api/budgets")["budgets"]
    assert day["low"]
    tab.page.goto(short.url)
    tab.says("#budget", f"80 % or more is used: {day['state']}")
    tab.says("#announcer", f"Budget: {day['state']}.")
    assert tab.get("#budget").count() == 1


def test_a_paused_run_shows_why_and_what_continues_it(tab: Tab, short: Served) -> None:
    tab.page.goto(short.url)
    tab.says(".run-reason", "raise strategies.budget.per_day or wait for the next day")
    tab.get(".run").click()
    tab.says("#detail .problem", "raise strategies.budget.per_day or wait for the next day")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_barrier_and_nothing_is_cut_off_at_390_pixels(
    tab: Tab, short: Served, theme: Any
) -> None:
    tab.page.emulate_media(color_scheme=theme)
    tab.page.set_viewport_size({"width": 390, "height": 900})
    tab.page.goto(short.url)
    for by in ("model", "run"):
        open_costs(tab, by)
        eventually(lambda: tab.get("#costs-lines tr").count() > 0)
        assert faults(tab) == []
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_costs_work_with_the_keyboard_and_keep_the_focus(tab: Tab, short: Served) -> None:
    press = tab.page.keyboard.press
    tab.page.clock.install()
    tab.page.goto(short.url)
    tab.says("#costs-total", "USD")
    while not focused(tab).startswith("Costs"):
        press("Tab")
    press("Enter")
    press("Tab")
    assert focused(tab, "id") == "costs-by"
    press("r")
    tab.says("#costs-lines a", "Roadmap long")
    press("Tab")
    assert focused(tab) == "Roadmap long"
    before = tab.page.evaluate_handle("document.activeElement")
    tab.page.clock.run_for(16_000)
    eventually(lambda: tab.page.evaluate("(it) => !it.isConnected", before))
    assert focused(tab) == "Roadmap long"


def test_costs_are_hidden_until_something_was_spent(tab: Tab, idle: Served) -> None:
    tab.page.goto(idle.url)
    tab.says("#connection", "live")
    tab.page.wait_for_load_state("networkidle")
    assert not tab.get("#costs").is_visible()
    assert not tab.get("#budget").is_visible()


def test_a_cost_without_a_price_is_unknown(tab: Tab, idle: Served) -> None:
    line = {"attempts": 2, "prompt_tokens": 10, "completion_tokens": 5, "estimated": False}

    def costs(route: "Route") -> None:
        lines = [line | {"name": HOSTILE, "cost": None}, line | {"name": "priced", "cost": 0.5}]
        route.fulfill(json={"by": "model", "currency": "EUR", "costs": lines})

    tab.page.route("**/api/costs**", costs)
    tab.page.goto(idle.url)
    tab.says("#costs-total", "0.5000 EUR (some prices are unknown)")
    open_costs(tab, "model")
    tab.says("#costs-lines tr", f"{HOSTILE}215unknown")
    assert tab.get("img").count() == 0
    tab.quiet()


def test_the_newest_runs_are_shown_with_a_command_for_all(tab: Tab, idle: Served) -> None:
    line = {"attempts": 1, "prompt_tokens": 1, "completion_tokens": 1, "estimated": True}

    def costs(route: "Route") -> None:
        lines = [line | {"name": f"r{n}", "cost": 1.0} for n in range(21)]
        route.fulfill(json={"by": "run", "currency": "USD", "costs": lines})

    tab.page.route("**/api/costs**", costs)
    tab.page.goto(idle.url)
    open_costs(tab, "run")
    tab.says("#costs-more", "paceline costs --by run")
    assert tab.get("#costs-lines tr").count() == 20
