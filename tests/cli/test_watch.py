"""`paceline watch`."""

import asyncio
import json

import pytest
from paceline.cli.commands.runs.watch import LineDisplay
from paceline.client.terminal.live_display import LiveDisplay
from paceline.client.terminal.progress_display import Display, refresh_figures
from paceline.client.totals import Totals
from paceline.contracts.events import Event
from paceline.contracts.storage.records import RunStatus
from paceline.contracts.storage.store import Store
from paceline.errors import PartUnavailable
from paceline.testing.virtual_time import virtual_time

from tests.support.cli_terminal import HOSTILE, Terminal, a_roadmap, a_run


def test_without_unfinished_runs_there_is_nothing_to_watch(paceline: Terminal) -> None:
    paceline("db", "upgrade")
    assert "no run is unfinished" in paceline("watch").err
    assert paceline("watch", "--json").out == "", "a line is an event, and there is none"


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["completed"], 0),
        (["completed", "partial"], 3),
        (["partial", "failed", "completed"], 1),
        (["cancelled"], 1),
    ],
)
def test_the_exit_code_is_that_of_the_worst_run(
    paceline: Terminal, statuses: list[RunStatus], code: int
) -> None:
    async def fill(store: Store) -> list[str]:
        return [
            (await a_run(store, a_roadmap(f"r{n}", "c", "d"), status)).run_id
            for n, status in enumerate(statuses)
        ]

    ids = paceline.store(fill)
    said = paceline("watch", *ids, code=code)
    assert len(said.out.splitlines()) == len(ids)


def test_json_prints_one_event_per_line_in_the_wire_format(paceline: Terminal) -> None:
    run = paceline.store(
        lambda store: a_run(store, a_roadmap("r", "c", "d"), "partial", reason=HOSTILE)
    )
    said = paceline("watch", "r", "--json", code=3)
    [event] = [json.loads(line) for line in said.out.splitlines()]
    assert event["type"] == "content_generation_finished"
    assert (event["task_id"], event["status"]) == (run.run_id, "partial")
    assert (event["progress_current"], event["progress_total"]) == (2, 2)
    assert event["reason"] == HOSTILE, "escaped, but all there"


def test_resuming_after_a_position_needs_one_run_and_a_valid_position(paceline: Terminal) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "c"), "completed"))
    paceline("watch", "r", "--after", "0-0")
    for wrong in (["--after", "0-0"], ["r", "--after", "soon"], ["r", "s", "--after", "0-0"]):
        assert "--after needs EPOCH-OFFSET" in paceline("watch", *wrong, code=2).err
    assert "'nothing'" in paceline("watch", "nothing", code=2).err


@virtual_time
async def test_an_unreachable_store_is_logged_once_while_it_is_watched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shown: list[float] = []

    class Shown(Display):
        def figures(self, totals: Totals) -> None:
            shown.append(asyncio.get_running_loop().time())

    async def figures() -> Totals:
        if 10 < asyncio.get_running_loop().time() < 60:
            raise PartUnavailable("the database cannot be reached")
        return Totals()

    refreshing = asyncio.create_task(refresh_figures(figures, Shown(), 1.0))
    await asyncio.sleep(70)
    refreshing.cancel()
    warnings = [one for one in caplog.messages if "the database cannot be reached" in one]
    assert len([one for one in warnings if "trying again" in one]) == 1
    assert len(shown) == 11 + 10, "and the figures are shown again afterwards"


def test_notes_of_steps_are_lines_that_change_no_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = LineDisplay(steps=1)
    lines.add("run", "A title", 2)
    note = Event(
        type="content_generation_note",
        task_id="run",
        roadmap_id="r",
        concept_id="c",
        status="generating",
        step="resources",
        reason=f"searching\n{HOSTILE}",
        progress_current=1,
        progress_total=2,
    )
    lines.event(note)
    said = capsys.readouterr().out
    assert said.startswith("r  1/2  c resources: searching ")
    assert "\x1b" not in said
    assert said.count("\n") == 1
    progress = note.model_copy(update={"type": "content_generation_progress", "step": "quiz"})
    lines.event(progress.model_copy(update={"status": "completed", "reason": None}))
    assert capsys.readouterr().out == "r  1/2  c  completed\n"


def test_a_note_of_a_run_is_one_line_and_no_wait(capsys: pytest.CaptureFixture[str]) -> None:
    note = Event(
        type="content_generation_note",
        task_id="run",
        roadmap_id="r",
        status="running",
        reason=f"budget: 80 % or more is used\n{HOSTILE}",
        progress_current=1,
        progress_total=2,
    )
    lines = LineDisplay(steps=1)
    bars = LiveDisplay(steps=1)
    for display in (lines, bars):
        display.add("run", "A title", 2)
        display.event(note)
        said = capsys.readouterr().out
        assert "budget: 80 % or more is used" in said
        assert "\x1b" not in said
        assert said.count("\n") == 1
        assert display._note == ""
