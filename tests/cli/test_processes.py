"""Commands as processes: imports, pipes, terminals, signals."""

import asyncio
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from paceline import App
from paceline.contracts.events import Event
from paceline.contracts.storage.records import Run

from tests.support.cli_processes import PACELINE, Home, simulator
from tests.support.cli_terminal import HOSTILE, Terminal, a_roadmap, a_run
from tests.support.eventually import eventually

_MODULES = """
import json, sys
from paceline.cli import main
sys.argv = ["paceline", *sys.argv[1:]]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--help"], ["export", "--help"]])
def test_help_imports_no_adapter_and_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MODULES, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    modules = json.loads(done.stderr)
    heavy = ("paceline_adapters", "paceline_strategies", "sqlalchemy", "openai", "aiohttp", "rich")
    assert [one for one in modules if one.startswith(heavy)] == []


def test_every_command_explains_itself_with_an_example(paceline: Terminal) -> None:
    for command in (
        "init", "config show", "plugins", "plugins show", "db upgrade", "db current", "doctor",
        "status", "watch", "cancel", "resume", "show", "export",
    ):  # fmt: skip
        said = paceline(*command.split(), "--help").out
        assert "Example" in said, command
        assert f"paceline {command.partition(' ')[0]}" in said, command


@pytest.fixture
def home(paceline: Terminal) -> Home:
    """The same folder for commands that run as processes."""
    return Home(paceline.folder, {"OPENAI_API_KEY": "sk-very-secret"})


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_watch_exits_cleanly(
    paceline: Terminal, home: Home, number: signal.Signals, code: int
) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "a"), "running"))
    with home.started("watch", "--json", name="watch") as process:
        eventually(lambda: "content_generation_snapshot" in home.log("watch"))
        process.send_signal(number)
        assert process.wait(10) == code
    assert "Traceback" not in home.log("watch")


def test_a_watch_ends_when_the_run_does(paceline: Terminal, home: Home) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "a")))
    with home.started("watch", "r", "--json", name="watch") as process:
        eventually(lambda: "content_generation_snapshot" in home.log("watch"))
        paceline("cancel", "r")
        assert process.wait(20) == 1
    events = [json.loads(line) for line in home.log("watch").splitlines() if line[:1] == "{"]
    assert [one["task_id"] for one in events] == [run.run_id] * len(events)
    assert (events[-1]["type"], events[-1]["status"]) == (
        "content_generation_finished",
        "cancelled",
    )


def test_events_arrive_over_redis_and_can_be_resumed_after_a_position(
    paceline: Terminal, home: Home, redis_url: str
) -> None:
    paceline.setenv(PACELINE_REDIS__URL=redis_url)
    home.environment["PACELINE_REDIS__URL"] = redis_url
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "a", "b"), "running"))

    def publish(*statuses: str) -> None:
        """Publish events of concepts, or the end of the run."""

        async def tell() -> None:
            async with App.load().factory.open_bus() as bus:
                await bus.publish([an_event(run, status) for status in statuses])

        asyncio.run(tell())

    def heard(name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in home.log(name).splitlines() if line[:1] == "{"]
        return [line for line in lines if line["concept_id"] or line["epoch"]]

    with home.started("watch", "r", "--json", name="first") as process:
        publish("generating", "completed")
        eventually(lambda: len(heard("first")) == 2, within=30)
        process.send_signal(signal.SIGINT)
        process.wait(10)
    last = heard("first")[-1]
    assert (last["status"], last["offset"]) == ("completed", 2)
    position = f"{last['epoch']}-{last['offset']}"
    with home.started("watch", "r", "--json", "--after", position, name="again") as process:
        publish("failed", "partial")
        assert process.wait(30) == 3
    assert [one["status"] for one in heard("again")] == ["failed", "partial"]


def test_a_run_saves_its_calls_in_flight_when_its_terminal_is_closed(home: Home) -> None:
    roadmap = home.folder / "roadmap.json"
    roadmap.write_text(a_roadmap("r", *(f"c{number}" for number in range(40))).to_json())
    ours, theirs = pty.openpty()
    with simulator("--speed", "20") as provider:
        environment = home.whole() | {"PACELINE_PROVIDER__BASE_URL": provider.base_url}
        with subprocess.Popen(
            [*PACELINE, "run", "roadmap.json"],
            cwd=home.folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=take_the_terminal,  # noqa: PLW1509
        ) as process:
            os.close(theirs)
            eventually(lambda: provider.figures()["paid"] >= 5, within=60)
            os.close(ours)
            assert process.wait(60) == 128 + signal.SIGHUP
        paid = provider.figures()["paid"]
    [run] = home.json("show")["runs"]
    assert (run["status"], run["reason"]) == ("paused", "interrupted")
    exported = home.run("export", "r", "--format", "json", code=None).stdout
    assert exported.count('"step": ') == paid


def take_the_terminal() -> None:
    """In a new process: make its standard input the terminal that it depends on."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def piped(home: Home, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command line where ``$P`` is paceline. Its exit code is that of paceline."""
    return subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=home.folder,
        env=home.whole() | {"P": f"{sys.executable} -m paceline"},
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_a_closed_pipe_changes_no_exit_code(paceline: Terminal, home: Home) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "a"), "running"))
    (home.folder / "bad.json").write_text("[]")
    for command, code in (
        ("$P show --json | true", 0),
        ("$P show r | true", 0),
        ("$P run bad.json | true", 2),
    ):
        done = piped(home, command)
        assert done.returncode == code, (command, done)
        assert "Traceback" not in done.stderr, command
        assert "BrokenPipe" not in done.stderr, command


def test_a_run_continues_to_its_end_if_its_output_is_not_read(home: Home) -> None:
    roadmap = home.folder / "roadmap.json"
    roadmap.write_text(a_roadmap("r", "a").to_json())
    with simulator("--speed", "1000") as provider:
        home.environment["PACELINE_PROVIDER__BASE_URL"] = provider.base_url
        done = piped(home, "$P run roadmap.json | true")
    assert (done.returncode, done.stderr) == (0, "")
    assert [run["status"] for run in home.json("show")["runs"]] == ["completed"]


def test_a_command_works_with_a_closed_output(home: Home) -> None:
    done = piped(home, "$P config show >&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_watch_ends_if_its_output_is_closed(paceline: Terminal, home: Home) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "a"), "running"))
    assert piped(home, "$P watch r --json | true").returncode == 0


def test_unwritable_output_is_a_one_line_error(home: Home) -> None:
    done = piped(home, "$P plugins > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "paceline: error: stdout cannot be written: No space left on device\n"


def an_event(run: Run, status: str) -> Event:
    """An event as a worker publishes it."""
    ended = status == "partial"
    return Event(
        type="content_generation_finished" if ended else "content_generation_progress",
        task_id=run.run_id,
        roadmap_id=run.roadmap_id,
        concept_id=None if ended else "a",
        status=status,
        progress_current=1,
        progress_total=2,
        fence=run.fence,
    )


def test_a_reader_of_the_first_lines_causes_no_traceback(paceline: Terminal, home: Home) -> None:
    roadmap = a_roadmap("r", *(f"concept-{number}" for number in range(40)))
    paceline.store(lambda store: a_run(store, roadmap, "completed"))
    with subprocess.Popen(
        [*PACELINE, "export", "r", "--format", "json"],
        cwd=home.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == '{"run": {"'
        process.stdout.close()
        assert process.stderr.read() == ""


def test_a_terminal_gets_rendered_text_without_control_sequences(
    paceline: Terminal, home: Home
) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "a", "b"), "completed"))
    shown = on_a_terminal(home, "show", "r", "a")
    assert "\x1b[" in shown, "bold and colours"
    assert "not markup" in shown
    for part in ("\x1b]0;", "\x1b[2J", "\x9b", "\u202e", "\x1b]8;"):
        assert part in HOSTILE or part == "\x1b]8;"
        assert part not in shown
    assert "Title of r (r)" in on_a_terminal(home, "show")


def on_a_terminal(home: Home, *arguments: str) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, **home.environment, "TERM": "xterm-256color"}
    with subprocess.Popen(
        [*PACELINE, *arguments], cwd=home.folder, env=environment, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux reports a closed terminal with this error
                break
            if not part:
                break
            written += part
        os.close(ours)
        assert process.wait(10) == 0, written
    return written.decode()
