"""`paceline db`."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.cli_terminal import Terminal


def test_upgrading_creates_an_embedded_database(paceline: Terminal) -> None:
    assert "no schema yet" in paceline("db", "current", code=1).out
    assert not Path("paceline.db").exists(), "looking makes no file"
    assert "upgraded from nothing to version" in paceline("db", "upgrade").out
    assert "up to date" in paceline("db", "upgrade").out
    assert paceline("db", "current", "--json").json["up_to_date"]


def test_a_server_is_upgraded_once_and_then_up_to_date(
    paceline: Terminal, postgres_url: str
) -> None:
    paceline.setenv(PACELINE_STORE__URL=postgres_url)
    assert "paceline db upgrade" in paceline("show", code=1).err
    assert paceline("db", "current", "--json", code=1).json["version"] is None
    first = paceline("db", "upgrade", "--json").json
    assert first["before"] is None
    assert paceline("db", "upgrade", "--json").json == {
        "before": first["version"],
        "version": first["version"],
    }
    assert "no runs" in paceline("show").err


def test_a_schema_of_a_newer_paceline_is_not_upgraded(paceline: Terminal) -> None:
    paceline("db", "upgrade")
    with closing(sqlite3.connect("paceline.db")) as database, database:
        database.execute("UPDATE paceline_version SET version_num = '9999'")
    said = paceline("db", "current", code=1).out
    assert "version 9999" in said
    assert "upgrade paceline" in said
    assert "db upgrade" not in said, "it would refuse"
    assert "upgrade paceline" in paceline("db", "upgrade", code=1).err


@pytest.mark.parametrize("command", ["worker", "status", "purge"])
def test_a_process_of_an_older_paceline_is_refused_with_one_line(
    paceline: Terminal, command: str
) -> None:
    paceline("db", "upgrade")
    with closing(sqlite3.connect("paceline.db")) as database, database:
        database.execute("UPDATE paceline_version SET version_num = '9999'")
    arguments = ("r", "--yes") if command == "purge" else ()
    said = paceline(command, *arguments, code=1)
    assert "its schema (9999) is newer than this paceline knows" in said.err
    assert "upgrade paceline" in said.err
    assert said.err.count("\n") == 1


def test_an_unreachable_server_is_a_one_line_error(paceline: Terminal, closed_port: int) -> None:
    paceline.setenv(
        PACELINE_STORE__URL=f"postgresql://me:hidden-password@127.0.0.1:{closed_port}/x"
    )
    for command in ("upgrade", "current"):
        said = paceline("db", command, code=1)
        assert str(closed_port) in said.err
        assert said.err.count("\n") == 1


def test_a_store_without_a_schema_is_rejected(paceline: Terminal) -> None:
    paceline.setenv(PACELINE_STORE__URL="memory:")
    assert "store.url" in paceline("db", "upgrade", code=2).err
