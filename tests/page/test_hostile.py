"""Text of roadmaps and models never runs and never loads anything."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.serve_process import Served, served

if TYPE_CHECKING:
    from playwright.sync_api import Route

#: Would run, or would fetch, if it were taken for more than text.
HOSTILE = (
    "<img src=x onerror=seen.ran++><script>seen.ran++</script>"
    "<svg onload=seen.ran++><a href='javascript:seen.ran++'>x</a>"
    "![x](https://evil.example/x.png) [go](javascript:seen.ran++)"
)


def test_names_and_model_output_are_shown_as_text(tab: Tab, tmp_path: Path) -> None:
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    hostile = roadmap("hostile", 2, name=HOSTILE, description=HOSTILE)
    hostile["title"] = HOSTILE
    hostile["stages"][0]["name"] = HOSTILE
    hostile["stages"][0]["modules"][0]["name"] = HOSTILE
    with (
        simulator("--speed", "100") as llm,
        served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        tab.submit(hostile)
        tab.says(".run-title", HOSTILE)
        tab.says(".run .status", "completed")
        tab.get(".run").click()
        tab.says(".stage h3", HOSTILE)
        tab.says(".concept-name", HOSTILE)
        tab.get(".concept").first.click()
        tab.says("#concept-title", HOSTILE)
        for step in ("tutorial", "resources", "quiz"):
            tab.page.get_by_role("tab", name=step).click()
            tab.says("#artifact", "seen.ran++")
        assert tab.get("main img, dialog img, main script, dialog script").count() == 0
        assert tab.get("[href^=javascript]").count() == 0
        assert tab.seen()["ran"] == 0
        assert [url for url in asked if not url.startswith(server.url)] == []
        tab.quiet()


def test_the_page_is_safe_even_if_the_server_cleans_nothing(tab: Tab, tmp_path: Path) -> None:
    def unclean(route: "Route") -> None:
        if route.request.url.endswith(".html"):
            route.fulfill(body=HOSTILE + "<b>kept</b><iframe src=/></iframe>")
            return
        answer = route.fetch()
        concept = answer.json()
        for one in concept["artifacts"]:
            if one["step"] == "resources":
                for resource in one["content"]["resources"]:
                    resource.update(url="javascript:seen.ran++", title=HOSTILE, why=HOSTILE)
            if one["step"] == "quiz":
                one["content"] = {"questions": HOSTILE}
        route.fulfill(response=answer, body=json.dumps(concept))

    with (
        simulator("--speed", "100") as llm,
        served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        tab.submit(roadmap("plain", 1))
        tab.says(".run .status", "completed")
        tab.get(".run").click()
        tab.page.route("**/concepts/c0**", unclean)
        tab.get(".concept").click()
        tab.says("#artifact", "kept")
        assert (
            tab.get("#artifact").locator("img, script, svg, iframe, [href^=javascript]").count()
            == 0
        )
        tab.page.get_by_role("tab", name="quiz").click()
        tab.says("#artifact", "kept")
        tab.page.get_by_role("tab", name="resources").click()
        tab.get("#artifact .resource-title").first.click()
        assert tab.get("#artifact .resources a").count() == 0
        assert tab.seen()["ran"] == 0
        assert not tab.errors + tab.dialogs


def test_the_policy_stops_injected_scripts(tab: Tab, idle: Served) -> None:
    tab.page.goto(idle.url)
    tab.says("#connection", "live")
    tab.page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=seen.ran++>')"
    )
    eventually(lambda: tab.seen()["violations"])
    assert tab.seen()["ran"] == 0
