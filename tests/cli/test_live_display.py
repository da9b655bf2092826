"""``paceline run`` on a terminal of 80 columns and 24 rows, and in a pipe."""

import re
from pathlib import Path

import pytest
from paceline.client.terminal.progress_display import PlainDisplay
from paceline.client.totals import Totals
from paceline.contracts.events import Event

from tests.support.cli_processes import PACELINE, Home, simulator
from tests.support.cli_terminal import a_roadmap
from tests.support.screen import Screen, on_a_screen

TITLE = "Title of r"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def roadmaps(folder: Path, number: int) -> list[str]:
    """Write roadmaps of three concepts; returns the names of their files."""
    names = [f"r{index:02}.json" for index in range(number)]
    for name in names:
        roadmap = a_roadmap(name[:-5], "a", "b", "c")
        (folder / name).write_text(roadmap.to_json())
    return names


def shows_calls(screen: Screen) -> bool:
    return re.search(r"[1-9]\d* LLM call", screen.text) is not None


def test_forty_roadmaps_fit_a_small_terminal_and_the_figures_stay_visible(home: Home) -> None:
    files = roadmaps(home.folder, 40)
    prices = ["--set", "provider.prompt_price=1", "--set", "provider.completion_price=2"]
    with simulator("--speed", "40") as provider:
        environment = home.whole() | {"PACELINE_PROVIDER__BASE_URL": provider.base_url}
        command = [*PACELINE, "run", *files, *prices]
        with on_a_screen(command, folder=home.folder, environment=environment) as screen:
            screen.until(shows_calls)
            assert len(screen.lines) <= 24
            assert re.search(r"and \d+ queued", screen.text)
            screen.until(lambda it: re.search(r"and .*\d+ completed", it.text))
            shown = screen.lines
            assert not [line for line in shown[1:-4] if "completed" in line], "only counted"
            screen.until(lambda it: re.search(r"[1-9]\d*/360 artifacts · .* USD spent", it.text))
            assert screen.to_the_end() == 0, screen.text
    assert "Peak: 8 roadmaps active" in screen.text
    results = [line for line in screen.scrolled + screen.lines if TITLE in line and "3/3" in line]
    assert len(results) == 40


def test_warnings_and_ctrl_c_can_be_read_above_the_display(home: Home) -> None:
    files = roadmaps(home.folder, 2)
    # No answer can be used, so there is a warning soon.
    with simulator("--speed", "5", "--fault", "schema-invalid=1") as provider:
        environment = home.whole() | {"PACELINE_PROVIDER__BASE_URL": provider.base_url}
        command = [*PACELINE, "run", *files]
        with on_a_screen(command, folder=home.folder, environment=environment) as screen:
            screen.until(lambda it: "warning: the first 2 answers of model" in it.text)
            screen.until(shows_calls)
            lines = screen.lines
            [warning] = [n for n, line in enumerate(lines) if "the first 2 answers" in line]
            [heading] = [n for n, line in enumerate(lines) if line.startswith("roadmap ")]
            assert warning < heading
            screen.type("\x03")
            screen.until(lambda it: "press Ctrl-C again to stop now" in "".join(it.lines))
            assert [line for line in screen.lines if line.startswith("roadmap ")], "still there"
            assert screen.to_the_end() == 130
    assert screen.text.count("Run the same command again") == 1


def progress(concept: str, status: str, *, done: int, failed: int = 0, reason: str = "") -> Event:
    return Event(
        task_id="run",
        roadmap_id="r",
        concept_id=concept,
        status=status,
        step="quiz" if status == "completed" else None,
        reason=reason or None,
        progress_current=done,
        progress_total=9,
        failed=failed,
    )


def test_a_pipe_gets_a_line_only_if_something_is_new(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    lines = PlainDisplay(steps=1)
    lines.add("run", TITLE, 9)
    for second in range(20):
        now = 110.0 + second
        lines.figures(Totals(roadmaps_active=1, calls=second))
    assert capsys.readouterr().out.count("\n") == 1
    lines.event(progress("a", "completed", done=1))
    now = 150.0
    lines.figures(Totals(roadmaps_active=1))
    assert capsys.readouterr().out.startswith("1/9 artifacts, 1/9 concepts · 1 roadmap running")


def test_a_pipe_gets_the_first_failures_of_a_run_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = PlainDisplay(steps=1)
    lines.add("run", TITLE, 9)
    for number in range(1, 6):
        lines.event(
            progress(f"c{number}", "failed", done=number, failed=number, reason="cut\x1b[2J off")
        )
    shown = capsys.readouterr().out
    assert shown.count("failed: cut") == 3
    assert "\x1b" not in shown
