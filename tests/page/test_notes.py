"""What a step says while it works, and which model wrote an artifact."""

import json
from typing import TYPE_CHECKING, Any

from tests.support.browser_tab import Tab, roadmap
from tests.support.serve_process import Served

if TYPE_CHECKING:
    from playwright.sync_api import Route, WebSocketRoute

HOSTILE = "<img src=x onerror=alert(1)>"


def submitted(idle: Served, name: str) -> str:
    """The id of a new run of two concepts."""
    answer = idle.ask("/api/runs", body=json.dumps(roadmap(name, 2)).encode())
    return str(answer["run"]["run_id"])


def test_the_newest_note_is_shown_until_the_step_is_saved(tab: Tab, idle: Served) -> None:
    run_id = submitted(idle, "noted")
    sockets: list[WebSocketRoute] = []
    loads: list[str] = []
    tab.page.route_web_socket(f"**/ws/runs/{run_id}**", lambda socket: sockets.append(socket))  # noqa: PLW0108
    tab.page.on("request", lambda request: loads.append(request.url))
    tab.page.goto(f"{idle.url}/#/runs/{run_id}")
    tab.says("#detail-title", "Roadmap noted")
    tab.page.wait_for_function("() => document.querySelectorAll('.concept').length === 2")
    offset = 0

    def send(kind: str, concept_id: str | None = "c0", **fields: Any) -> None:
        nonlocal offset
        offset += 1
        event = {"type": f"content_generation_{kind}", "task_id": run_id, "roadmap_id": "noted",
                 "concept_id": concept_id, "status": "generating", "step": None, "reason": None,
                 "progress_current": 0, "progress_total": 2, "failed": 0, "fence": 1, "epoch": 1,
                 "offset": offset, "at": "2026-11-29T10:00:00Z"}  # fmt: skip
        sockets[-1].send(json.dumps(event | fields))

    note = "[data-concept=c0] .note"
    send("note", None, status="running", reason="budget: 80 % or more is used")
    tab.says("#detail .hint", "budget: 80 % or more is used")
    send("progress")
    before = len([url for url in loads if "/concepts" in url])
    send("note", step="resources", reason="searching")
    tab.says(note, "resources: searching")
    send("note", step="resources", reason=HOSTILE)
    tab.says(note, f"resources: {HOSTILE}")
    send("note", "not-in-the-roadmap", step="resources", reason="ignored")
    send("note", "c1", step="resources", reason="not generating")
    send("progress", step="resources")
    send("progress", "c1")
    tab.page.wait_for_function(
        "() => document.querySelector('[data-concept=c0] .note').hidden"
        " && document.querySelector('[data-concept=c1]').dataset.status === 'generating'"
    )
    assert tab.get("[data-concept=c0]").get_attribute("data-status") == "generating"
    assert len([url for url in loads if "/concepts" in url]) == before, "a note loads nothing"
    assert tab.get("img").count() == 0
    tab.quiet()


def test_an_artifact_shows_its_model_and_why_the_preferred_one_did_not_write_it(
    tab: Tab, idle: Served
) -> None:
    run_id = submitted(idle, "fallback")

    def concept(route: "Route") -> None:
        artifact: dict[str, Any] = {
            "step": "resources",
            "content": {"resources": []},
            "model": "spare-1",
            "currency": "USD",
            "seconds": 1.5,
            "created_at": None,
            "fallback": f"main: no credit {HOSTILE}",
            "attempts": 2,
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "cost": None,
            "estimated": False,
            "version": 1,
            "changes": 1,
            "current": True,
            "stale": False,
        }
        answer = route.fetch().json()
        route.fulfill(json=answer | {"steps": ["resources"], "artifacts": [artifact]})

    tab.page.route("**/concepts/c0", concept)
    tab.page.goto(f"{idle.url}/#/runs/{run_id}/c0")
    tab.says("#artifact", "spare-1 · 2 tokens")
    tab.says("#artifact", f"Written by spare-1, because main: no credit {HOSTILE}")
    assert tab.get("img").count() == 0
    tab.quiet()
