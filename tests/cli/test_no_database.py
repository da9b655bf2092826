"""Commands that read or steer runs create no database file."""

from pathlib import Path

import pytest
from paceline.cli.group import COMMANDS, OLD_NAMES

from tests.support.cli_terminal import Terminal

#: Commands for existing runs, each with whether it has ``--json``.
READING = {
    ("status",): True,
    ("show",): True,
    ("show", "r"): True,
    ("show", "r", "c"): True,
    ("watch",): True,
    ("watch", "r"): True,
    ("export", "r", "--to", "book"): False,
    ("export", "r", "--format", "json"): False,
    ("pause", "r"): True,
    ("cancel", "r"): True,
    ("resume", "r"): True,
    ("retry", "r"): True,
    ("revise", "r", "--where", "stale"): True,
    ("revise", "r", "c", "quiz", "--dry-run"): True,
    ("restore", "r", "c", "quiz"): True,
    ("import", "r", "-"): True,
    ("purge", "r", "--yes"): True,
    ("sinks",): True,
    ("costs",): True,
    ("logs", "r"): True,
    ("pause", "--everything"): True,
    ("limits", "show"): True,
    ("drain", "w"): False,
    ("audit",): True,
    ("recover",): True,
}
#: Commands that create the database, need none, or only report that there is none.
OTHERS = {"top", "init", "run", "plan", "submit", "worker", "plugins", "db", "config", "doctor"}

MISSING = (
    "there is no database at ./paceline.db yet; `paceline run FILE` creates it "
    "(for another database: --set store.url=URL)"
)


def test_every_command_is_listed_here() -> None:
    assert {command for command, *_ in READING} | OTHERS == {*COMMANDS, *OLD_NAMES}


@pytest.mark.parametrize(
    "command",
    [*READING, *((*command, "--json") for command, as_json in READING.items() if as_json)],
    ids=" ".join,
)
def test_an_empty_folder_stays_empty_and_is_reported(
    paceline: Terminal, command: tuple[str, ...]
) -> None:
    said = paceline(*command, code=1)
    *_, error = said.err.splitlines()  # `retry` says that its name is old
    assert error == f"paceline: error: {MISSING}"
    assert said.out == ""
    assert list(Path().iterdir()) == []


def test_doctor_reports_a_missing_database_and_creates_none(paceline: Terminal) -> None:
    paceline.setenv(OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    found = paceline("doctor", "--json", code=1).json["findings"]
    [store] = [one for one in found if one["part"] == "store"]
    assert (store["level"], store["text"]) == ("ok", MISSING)
    assert list(Path().iterdir()) == []


def test_a_database_without_runs_is_reported_as_such(paceline: Terminal) -> None:
    paceline("db", "upgrade")
    assert "no runs; `paceline run roadmap.json` starts one" in paceline("show").err
    assert paceline("show", "--json").json == {"runs": [], "before": None}
    assert "0 running, 0 queued" in paceline("status").out
    assert "no run is unfinished" in paceline("watch").err
    assert "lost its worker" in paceline("recover").err
    for command in (["show", "r"], ["export", "r", "--to", "book"], ["cancel", "r"]):
        said = paceline(*command, code=2).err
        assert said == (
            "paceline: error: no run and no roadmap has the id 'r'; the database has no runs yet\n"
        )


@pytest.mark.parametrize("place", ["paceline.db", "data/my #1.db", "/absolute.db"])
def test_the_place_of_a_missing_file_is_named(paceline: Terminal, place: str) -> None:
    Path("data").mkdir()
    shown = f"./{place.removeprefix('/')}"
    if place.startswith("/"):
        place = f"{paceline.folder}{place}"
    paceline.setenv(PACELINE_STORE__URL=f"sqlite:///{place}")
    assert f"there is no database at {shown} yet" in paceline("show", code=1).err
    assert [path for path in Path().rglob("*") if path.is_file()] == []
    paceline("db", "upgrade")
    assert Path(place).is_file()
    assert "no runs" in paceline("show").err


def test_a_missing_folder_is_reported_as_such(paceline: Terminal) -> None:
    paceline.setenv(PACELINE_STORE__URL="sqlite:///nowhere/content.db")
    for command in (["show"], ["db", "current"], ["db", "upgrade"]):
        said = paceline(*command, code=1).err
        assert (
            "database file nowhere/content.db: it cannot be opened: does its folder exist" in said
        )
    assert list(Path().iterdir()) == []


def test_a_dangling_link_is_no_database(paceline: Terminal) -> None:
    Path("paceline.db").symlink_to("elsewhere.db")
    assert MISSING in paceline("show", code=1).err
    assert list(Path().iterdir()) == [Path("paceline.db")]


def test_an_empty_file_is_a_database_without_runs(paceline: Terminal) -> None:
    Path("paceline.db").touch()
    assert "no runs" in paceline("show").err


def test_submit_creates_the_database(paceline: Terminal) -> None:
    Path("roadmap.json").write_text(
        '{"roadmap_id": "r", "title": "R", "stages": [{"stage_id": "s", "name": "S", "modules": '
        '[{"module_id": "m", "name": "M", "concepts": [{"concept_id": "c", "name": "C"}]}]}]}'
    )
    paceline("submit", "roadmap.json")
    assert Path("paceline.db").is_file()
    assert "1 queued" in paceline("status").out
