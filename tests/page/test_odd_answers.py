"""A server sends invalid answers or loses events: the page recovers."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.serve_process import TOKEN, Served, served

if TYPE_CHECKING:
    from playwright.sync_api import Route, WebSocketRoute

#: Answers to a question that are of no use, and what is said of them.
ODD = {
    "a server's error": ({"status": 500, "body": "<h1>oops</h1>"}, "The server answered 500"),
    "too many requests": (
        {"status": 429, "body": json.dumps({"title": "Too many requests", "detail": "Wait."})},
        "Wait.",
    ),
    "another site's page": ({"status": 200, "body": "<!doctype html>hello"}, "not from paceline"),
    "nothing": ({"status": 200, "body": "null"}, "not from paceline"),
}
#: One that is refused, one that is misunderstood; the others go the same ways.
_TELLING = ("too many requests", "nothing")


@pytest.mark.parametrize(
    "odd", [pytest.param(it, marks=[pytest.mark.soak] * (it not in _TELLING)) for it in ODD]
)
def test_the_page_reports_invalid_answers_and_retries(tab: Tab, idle: Served, odd: str) -> None:
    answer, said = ODD[odd]
    run_id = idle.ask("/api/runs", body=json.dumps(roadmap("one", 2)).encode())["run"]["run_id"]

    def refuse(place: str) -> None:
        tab.page.route(place, lambda route: route.fulfill(**answer))

    refuse("**/api/session")
    refuse("**/api/runs?**")
    refuse(f"**/api/runs/{run_id}/roadmap")
    tab.page.goto(f"{idle.url}/#/runs/{run_id}")
    tab.says("#connection", said)
    tab.page.unroute("**/api/session")
    tab.says("#connection", "live")
    tab.says("#runs-empty", said)
    tab.says("#detail [role=alert]:visible", said)
    tab.page.unroute("**/api/runs?**")
    tab.page.unroute(f"**/api/runs/{run_id}/roadmap")
    eventually(lambda: tab.get(".concept").count() == 2, 60)
    eventually(lambda: not tab.get("#runs-empty").is_visible(), 60)
    eventually(lambda: tab.get("#detail [role=alert]:visible").count() == 0, 60)
    tab.quiet()


def test_a_request_without_an_answer_times_out_and_is_retried(tab: Tab, idle: Served) -> None:
    tab.page.clock.install()
    tab.page.route("**/api/session", lambda _: None)
    with tab.page.expect_request("**/api/session"):
        tab.page.goto(idle.url)
    tab.page.clock.fast_forward(31_000)
    tab.says("#connection", "The server cannot be reached.")
    tab.page.unroute("**/api/session")
    tab.page.clock.resume()
    tab.page.clock.fast_forward(3_000)
    tab.says("#connection", "live")
    tab.quiet()


def test_a_token_that_no_header_can_carry_is_rejected_and_asked_for_again(
    tab: Tab, tmp_path: Path
) -> None:
    with served(tmp_path, "--no-worker", token=TOKEN) as server:
        tab.page.goto(server.url)
        tab.page.fill("#token-value", "“никто”-0123456789")
        tab.page.keyboard.press("Enter")
        tab.says("#token-error", "The token is not valid")
        tab.page.fill("#token-value", f"\u201c{TOKEN}\u201d ")
        tab.page.keyboard.press("Enter")
        tab.says("#connection", "live")
        tab.quiet()


def test_runs_deleted_on_the_server_disappear_from_the_list(tab: Tab, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    with served(before, "--no-worker") as server:
        server.ask("/api/runs", body=json.dumps(roadmap("gone", 2)).encode())
        tab.page.goto(server.url)
        tab.says(".run-title", "Roadmap gone")
        port = server.url.rpartition(":")[2]
    tab.says("#connection", "disconnected since")
    with served(after, "--no-worker", "--port", port):
        tab.says("#connection", "live")
        tab.says("#runs-empty", "No runs yet")
        assert tab.get(".run").count() == 0
        assert not tab.errors


def test_runs_that_started_and_ended_while_disconnected_are_listed(
    tab: Tab, tmp_path: Path
) -> None:
    with served(tmp_path, "--no-worker") as server:
        made = server.ask("/api/runs", body=json.dumps(roadmap("known", 2)).encode())["run"]
        tab.page.goto(server.url)
        tab.says(".run-title", "Roadmap known")

        def page_of(route: "Route") -> None:
            """Three pages: two with runs that ended meanwhile, then the known one."""
            _, _, before = route.request.url.partition("before=")
            start = {"": 0, "z100": 100, "z200": 200}[before]
            ended = {"status": "completed", "completed": 2}
            runs: list[dict[str, Any]] = [
                {**made, **ended, "run_id": f"z{n}"} for n in range(start, min(start + 100, 150))
            ]
            more = f"z{start + 100}" if start < 100 else None
            route.fulfill(json={"runs": runs if more else [*runs, made], "before": more})

        tab.page.route("**/api/runs?limit=100**", page_of)
        port = server.url.rpartition(":")[2]
    with served(tmp_path, "--no-worker", "--port", port):
        eventually(lambda: tab.get(".run").count() == 100, 60)
        assert tab.get("[data-run^=z]").count() == 99
        assert not tab.errors


def test_a_lost_event_leads_to_a_reload(tab: Tab, tmp_path: Path) -> None:
    """A stream that loses an event without a gap in the offsets; later events reveal it."""

    def lossy(socket: "WebSocketRoute") -> None:
        server = socket.connect_to_server()

        def passed(message: "str | bytes") -> None:
            event = json.loads(message)
            if event.get("concept_id") == "c1" or event["type"] == "content_generation_finished":
                return
            socket.send(message)

        server.on_message(passed)

    tab.page.route_web_socket("**/ws/runs/*", lossy)
    with (
        simulator("--speed", "50") as llm,
        served(
            tmp_path,
            PACELINE_PROVIDER__BASE_URL=llm.base_url,
            PACELINE_STRATEGIES__PER_ROADMAP__LIMIT="1",
        ) as server,
    ):
        run = server.ask("/api/runs", body=json.dumps(roadmap("lossy", 6)).encode())["run"]
        tab.page.goto(f"{server.url}/#/runs/{run['run_id']}")
        eventually(lambda: tab.get("[data-concept][data-status=completed]").count() == 6, 90)
        assert not tab.errors


def test_a_run_that_was_resumed_and_ended_unseen_is_shown_as_it_is_now(
    tab: Tab, tmp_path: Path
) -> None:
    """All changes between two moments arrive as one state: the last."""
    unseen = {"on": False}

    def coalesced(socket: "WebSocketRoute") -> None:
        server = socket.connect_to_server()

        def passed(message: "str | bytes") -> None:
            told = json.loads(message)
            if unseen["on"] and told["type"] == "batch":
                told["events"] = [one for one in told["events"] if one["status"] == "completed"]
            socket.send(json.dumps(told))

        server.on_message(passed)

    tab.page.route_web_socket("**/ws/runs?**", coalesced)
    settings = {"PACELINE_PROVIDER__ATTEMPTS": "1", "PACELINE_RUN__FAILURE_THRESHOLD": "1"}
    failing = simulator("--speed", "100", "--fault", "500=1")
    with (
        failing as llm,
        served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url, **settings) as server,
    ):
        tab.page.goto(server.url)
        tab.says("#connection", "live")
        tab.submit(roadmap("twice", 2))
        tab.get(".run").click()
        eventually(lambda: tab.get("[data-concept][data-status=failed]").count() == 2, 90)
        tab.says(".detail-head .status", "partial")
        port = server.url.rpartition(":")[2]
    unseen["on"] = True
    with (
        simulator("--speed", "100") as llm,
        served(tmp_path, "--port", port, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        tab.says("#connection", "live")
        run_id = server.ask("/api/runs")["runs"][0]["run_id"]
        server.ask(f"/api/runs/{run_id}/retry", body=b"")
        tab.says(".detail-head .status", "completed")
        eventually(lambda: tab.get("[data-concept][data-status=completed]").count() == 2, 60)
        assert not tab.errors


def test_files_that_are_chosen_while_the_page_loads_are_submitted(tab: Tab, idle: Served) -> None:
    held: list[Route] = []

    def hold(route: "Route") -> None:
        held.append(route)

    tab.page.route("**/api/session", hold)
    with tab.page.expect_request("**/api/session"):
        tab.page.goto(idle.url)
    tab.submit(roadmap("early", 2))
    held[0].continue_()
    tab.says(".run", "early")
    assert not tab.errors


def test_charts_stay_in_their_frame_after_a_gap_and_a_changed_clock(tab: Tab, idle: Served) -> None:
    now = datetime.now(UTC)

    def history(route: "Route") -> None:
        def sample(minutes: float, calls: int) -> dict[str, object]:
            at = (now + timedelta(minutes=minutes)).isoformat()
            return {"at": at, "workers": 1, "roadmaps": 1, "concepts": calls, "calls": calls,
                    "connections": 0, "connections_max": 5, "events_per_second": 0.4}  # fmt: skip

        samples = [sample(-25, 900), sample(-20, 900), sample(30, 900)]
        samples += [sample(-2 + n / 60, 7) for n in range(60)]
        route.fulfill(json={"sentence": "now", "now": samples[-1], "history": samples})

    tab.page.route("**/api/live", history)
    tab.page.goto(idle.url)
    calls = "[data-figure=calls]"
    tab.says(f"{calls} figcaption", "peak 7")
    path = tab.get(f"{calls} .line").get_attribute("d") or ""
    across = [float(part.split()[0]) for part in path.replace("M", "L").split("L") if part]
    assert len(across) >= 60
    assert all(0 <= x <= 300 for x in across)
    tab.quiet()


_DROP = """([kinds, names]) => {
  const it = new DataTransfer();
  const text = JSON.stringify(names);
  for (const name of kinds) it.items.add(new File([text], name));
  return it;
}"""


def test_a_dropped_folder_is_reported_and_files_next_to_it_are_submitted(
    tab: Tab, idle: Served
) -> None:
    tab.page.goto(idle.url)
    tab.says("#connection", "live")
    # What a browser gives of a folder cannot be read; there is no folder to drag here.
    tab.page.evaluate(
        """() => { const read = File.prototype.arrayBuffer;
          File.prototype.arrayBuffer = function () {
            return this.name === "folder" ? Promise.reject(new Error("NotFoundError"))
              : read.call(this); }; }"""
    )
    dropped = tab.page.evaluate_handle(_DROP, [["folder", "a.json"], roadmap("after", 2)])
    tab.page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    tab.says(".submission.problem", "folder was not submitted")
    tab.says(".submission.problem", "Is it a folder?")
    tab.says(".run-title", "Roadmap after")
    tab.quiet()


def test_dragged_text_is_not_a_file(tab: Tab, idle: Served) -> None:
    tab.page.goto(idle.url)
    tab.says("#connection", "live")

    def enter(make: str) -> bool:
        dragged = tab.page.evaluate_handle(
            f"() => {{ const it = new DataTransfer(); {make}; return it; }}"
        )
        tab.page.dispatch_event("body", "dragenter", {"dataTransfer": dragged})
        return bool(tab.page.evaluate("document.body.classList.contains('dropping')"))

    assert not enter("it.setData('text/plain', 'word')")
    assert enter("it.items.add(new File(['{}'], 'a.json'))")


def test_coming_online_while_connecting_opens_no_second_connection(
    tab: Tab, tmp_path: Path
) -> None:
    sockets: list[str] = []
    tab.page.on("websocket", lambda socket: sockets.append(socket.url))
    with served(tmp_path, "--no-worker", token=TOKEN) as server:
        tab.page.route("**/api/tickets", lambda _: None)
        tab.page.goto(server.url)
        tab.page.fill("#token-value", TOKEN)
        with tab.page.expect_request("**/api/tickets"):
            tab.page.keyboard.press("Enter")
        tab.page.evaluate("dispatchEvent(new Event('online'))")
        tab.page.unroute("**/api/tickets")  # lets those go that are held
        tab.says("#connection", "live")
        assert len(sockets) == 1
        tab.quiet()
