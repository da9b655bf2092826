"""The views of limits and workers, the theme, an empty server, YAML, and a lost connection."""

import json
from pathlib import Path

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.serve_process import served


def test_limits_show_what_is_used_waits_and_was_refused(tab: Tab, tmp_path: Path) -> None:
    with (
        simulator("--speed", "4", "--max-concurrency", "3") as llm,
        served(
            tmp_path,
            PACELINE_PROVIDER__BASE_URL=llm.base_url,
            PACELINE_STRATEGY="adaptive",
            PACELINE_STRATEGIES__ADAPTIVE__START="6",
        ) as server,
    ):
        server.ask("/api/runs", body=json.dumps(roadmap("learn", 12)).encode())
        tab.page.goto(f"{server.url}/#/limits")
        tab.says(".limit h3", "calls at once")
        tab.says(".limit .hint", "adaptive")

        def refused() -> bool:
            label = tab.get(".limit svg").first.get_attribute("aria-label") or ""
            return "refused" in label and "refused 0" not in label

        eventually(refused, 60)
        eventually(lambda: tab.get(".limit .refusal").count() > 0, 60)
        tab.says(".changes li", "refused")
        tab.says("#limits-why", "are in flight")
        tab.quiet()


def test_workers_show_their_load_and_the_last_errors(tab: Tab, tmp_path: Path) -> None:
    with (
        simulator("--speed", "50", "--fault", "500=1") as llm,
        served(
            tmp_path,
            PACELINE_PROVIDER__BASE_URL=llm.base_url,
            PACELINE_PROVIDER__ATTEMPTS="1",
            PACELINE_RUN__FAILURE_THRESHOLD="1",
        ) as server,
    ):
        server.ask("/api/runs", body=json.dumps(roadmap("learn", 2)).encode())
        eventually(lambda: server.ask("/api/runs")["runs"][0]["failed"] == 2, 60)
        tab.page.goto(server.url)
        tab.page.get_by_role("link", name="Workers", exact=True).click()
        row = tab.get("#workers-rows tr")
        eventually(lambda: row.count() == 1, 60)
        tab.says("#workers-rows td", "0 of 8")
        tab.says("#workers-rows td", "s ago")
        tab.says("#workers-note", "0 roadmaps wait for a worker.")
        tab.says("#errors .reason", "500")
        tab.get("#errors a").first.click()
        tab.says("#concept-title", "Concept")
        tab.quiet()


def test_an_empty_server_offers_an_example(tab: Tab, tmp_path: Path) -> None:
    with served(tmp_path, "--no-worker") as server:
        tab.page.goto(server.url)
        tab.page.get_by_role("button", name="Try an example roadmap").click()
        tab.says(".run-title", "How the Web Works")
        eventually(lambda: not tab.get("#welcome").is_visible(), 60)
        tab.quiet()


def test_a_roadmap_in_yaml_is_submitted(tab: Tab, tmp_path: Path) -> None:
    text = """
roadmap_id: yaml
title: Written in YAML
stages:
  - {stage_id: s, name: S, modules: [{module_id: m, name: M, concepts: [{concept_id: c, name: C}]}]}
"""
    with served(tmp_path, "--no-worker") as server:
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        tab.page.set_input_files(
            "#file", {"name": "a.yaml", "mimeType": "", "buffer": text.encode()}
        )
        tab.says(".run-title", "Written in YAML")
        aliases = {"name": "b.yml", "mimeType": "", "buffer": b"a: &a [1]\nb: *a\n"}
        tab.page.set_input_files("#file", aliases)  # type: ignore[arg-type]
        tab.says(".submission.problem", "aliases are not allowed")


def test_the_chosen_theme_stays_after_a_reload(tab: Tab, tmp_path: Path) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    tab.page.emulate_media(color_scheme="light")
    with served(tmp_path, "--no-worker") as server:
        tab.page.goto(server.url)
        light = tab.page.evaluate(ground)
        tab.page.select_option("#theme", "dark")
        dark = tab.page.evaluate(ground)
        assert dark != light
        tab.page.reload()
        assert tab.page.evaluate(ground) == dark
        tab.page.select_option("#theme", "")
        assert tab.page.evaluate(ground) == light
        assert tab.page.evaluate("localStorage.length") == 0


def test_buttons_are_off_while_the_page_is_disconnected(tab: Tab, tmp_path: Path) -> None:
    with served(tmp_path, "--no-worker") as server:
        port = server.url.rpartition(":")[2]
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        tab.submit(roadmap("learn", 2))
        tab.get(".run").click()
        cancel = tab.page.get_by_role("button", name="Cancel", exact=True)
        assert cancel.is_enabled()
        server.stop()
        tab.says("#connection", "disconnected since")
        assert cancel.is_disabled()
    with served(tmp_path, "--no-worker", "--port", port):
        tab.says("#connection", "live")
        eventually(cancel.is_enabled, 60)
