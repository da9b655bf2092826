"""``paceline serve`` and ``paceline watch --url``, as processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_processes import PACELINE, simulator
from tests.support.cli_terminal import a_roadmap
from tests.support.eventually import eventually
from tests.support.serve_process import TOKEN, Served, served


def watch(server: Served, *arguments: str, code: int = 0) -> str:
    """What ``paceline watch --url`` prints."""
    environment = {**os.environ, "PACELINE_TOKEN": server.token or ""}
    if server.token is None:
        del environment["PACELINE_TOKEN"]
    watching = subprocess.run(
        [*PACELINE, "watch", "--url", server.url, *arguments],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert watching.returncode == code, watching.stderr
    return watching.stdout + watching.stderr


def test_a_roadmap_goes_from_submission_to_artifacts(tmp_path: Path) -> None:
    with (
        simulator("--speed", "100") as llm,
        served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        body = a_roadmap("learn", "one", "two").to_json().encode()
        run_id = server.ask("/api/runs", body=body)["run"]["run_id"]
        events = [json.loads(line) for line in watch(server, run_id, "--json").splitlines()]
        assert events[-1]["type"] == "content_generation_finished"
        assert (events[-1]["status"], events[-1]["progress_current"]) == ("completed", 2)
        assert server.ask(f"/api/runs/{run_id}")["status"] == "completed"
        place = f"/api/runs/{run_id}/concepts/one/artifacts"
        steps = [one["step"] for one in server.ask(place)["artifacts"]]
        assert steps == ["tutorial", "resources", "quiz"]
        assert "completed, 2/2 concepts" in watch(server, "learn")
        assert "no run is unfinished" in watch(server)
        assert "'nothing'" in watch(server, "nothing", code=2)
        assert server.stop() == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.soak), signal.SIGTERM]
)
def test_a_signal_hands_runs_back_and_another_server_continues_them(
    tmp_path: Path, number: signal.Signals
) -> None:
    with simulator("--latency", "default=60-60", "--latency", "tutorial=60-60") as llm:
        settings = {
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_RUN__GRACE": "0.5",
        }
        with served(tmp_path, **settings) as server:
            body = a_roadmap("learn", "one").to_json().encode()
            run_id = server.ask("/api/runs", body=body)["run"]["run_id"]
            eventually(lambda: server.ask("/api/live")["now"]["calls"] == 1, within=60)
            assert server.stop(number) == 128 + number
    with (
        simulator("--speed", "100") as llm,
        served(tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        watch(server, run_id)
        assert server.ask(f"/api/runs/{run_id}")["status"] == "completed"


@pytest.mark.soak
def test_watch_continues_when_its_server_is_reachable_again(tmp_path: Path) -> None:
    settings = {"PACELINE_RUN__LEASE": "2"}
    with simulator("--speed", "12") as llm:
        settings["PACELINE_PROVIDER__BASE_URL"] = llm.base_url
        with served(tmp_path, token=TOKEN, **settings) as server:
            body = a_roadmap("learn", *(f"c{n}" for n in range(6))).to_json().encode()
            run_id = server.ask("/api/runs", body=body)["run"]["run_id"]
            environment = {**os.environ, "PACELINE_TOKEN": TOKEN}
            watching = subprocess.Popen(
                [*PACELINE, "watch", "--url", server.url, run_id, "--json"],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert watching.stdout is not None
            first = json.loads(watching.stdout.readline())
            port = server.url.rpartition(":")[2]
            server.process.kill()
            server.process.wait()
        settings["PACELINE_RUN__LEASE"] = "30"
        with served(tmp_path, "--port", port, token=TOKEN, **settings):
            out, _ = watching.communicate(timeout=120)
    events = [first, *(json.loads(line) for line in out.splitlines())]
    assert watching.returncode == 0
    assert (events[-1]["status"], events[-1]["progress_current"]) == ("completed", 6)
    counts = [e["progress_current"] for e in events if e["type"] != "resync_required"]
    assert counts == sorted(counts)


def test_watch_reports_a_wrong_token_and_an_unreachable_server(
    tmp_path: Path, closed_port: int
) -> None:
    with served(tmp_path, "--no-worker", token=TOKEN) as server:
        wrong = Served(server.url, server.process, "wrong-0123456789")
        assert "PACELINE_TOKEN" in watch(wrong, code=2)
    away = Served(f"http://127.0.0.1:{closed_port}", server.process, None)
    assert "cannot be reached" in watch(away, code=1)
    odd = Served("127.0.0.1:80", server.process, None)
    assert "--url must be http://HOST:PORT" in watch(odd, code=2)


def test_serve_refuses_other_than_loopback_addresses_without_a_token(tmp_path: Path) -> None:
    refused = subprocess.run(
        [*PACELINE, "serve", "--host", "0.0.0.0", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 2
    assert "web.host: other hosts can reach 0.0.0.0" in refused.stderr
    assert not list(tmp_path.iterdir()), "nothing was begun"


def test_without_the_extra_serve_says_how_to_install_it(tmp_path: Path) -> None:
    bare = (
        "import sys; sys.modules['uvicorn'] = None; sys.modules['fastapi'] = None\n"
        "from paceline.cli import main\n"
        "sys.argv = ['paceline', 'serve']\n"
        "main()\n"
    )
    refused = subprocess.run(
        [sys.executable, "-c", bare],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 2, refused.stderr
    assert "pip install 'paceline[web]'" in refused.stderr


@pytest.mark.soak
def test_watch_resumes_a_stream_after_a_position(tmp_path: Path) -> None:
    with (
        simulator("--speed", "100") as llm,
        served(tmp_path, token=TOKEN, PACELINE_PROVIDER__BASE_URL=llm.base_url) as server,
    ):
        body = a_roadmap("learn", "one", "two").to_json().encode()
        run_id = server.ask("/api/runs", body=body)["run"]["run_id"]
        watch(server, run_id)
        # The memory of the server keeps what it published: from the first event on.
        all_of_it = _events(watch(server, run_id, "--json", "--after", "0-0"))
        assert [one["offset"] for one in all_of_it] == list(range(1, len(all_of_it) + 1))
        assert all_of_it[-1]["type"] == "content_generation_finished"
        third = f"{all_of_it[2]['epoch']}-3"
        assert _events(watch(server, run_id, "--json", "--after", third)) == all_of_it[3:]
        lost = _events(watch(server, run_id, "--json", "--after", "1-1"))
        assert [one["type"] for one in lost] == ["resync_required", "content_generation_finished"]
        last = f"{all_of_it[-1]['epoch']}-{len(all_of_it)}"
        assert _events(watch(server, run_id, "--json", "--after", last)) == []


@pytest.mark.soak
def test_watch_sees_only_the_runs_of_its_tenant(tmp_path: Path) -> None:
    tokens = (
        '[{token = "acme-0123456789ab", tenant = "acme"}, '
        '{token = "rival-0123456789a", tenant = "rival"}]'
    )
    with (
        simulator("--speed", "100") as llm,
        served(
            tmp_path, PACELINE_PROVIDER__BASE_URL=llm.base_url, PACELINE_WEB__TOKENS=tokens
        ) as server,
    ):
        acme = Served(server.url, server.process, "acme-0123456789ab")
        rival = Served(server.url, server.process, "rival-0123456789a")
        body = a_roadmap("learn", *(f"c{n}" for n in range(6))).to_json().encode()
        ids = {one: one.ask("/api/runs", body=body)["run"]["run_id"] for one in (acme, rival)}
        for one, other in ((acme, rival), (rival, acme)):
            assert {event["task_id"] for event in _events(watch(one, "--json"))} <= {ids[one]}
            assert "completed, 6/6 concepts" in watch(one, "learn")
            assert "no run" in watch(one, ids[other], code=2)
        assert "PACELINE_TOKEN" in watch(Served(server.url, server.process, None), code=2)


def _events(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
