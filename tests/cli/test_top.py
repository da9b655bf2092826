"""``paceline top`` on a real terminal, beside a run in another process."""

import subprocess
from pathlib import Path

import pytest

from tests.support.cli_processes import PACELINE, Home, simulator
from tests.support.cli_terminal import a_roadmap
from tests.support.screen import on_a_screen


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_top_shows_workers_and_working_runs_first_until_q_is_pressed(home: Home) -> None:
    files = []
    for number in range(30):
        roadmap = a_roadmap(f"r{number:02}", *(f"c{index}" for index in range(9)))
        (home.folder / f"r{number}.json").write_text(roadmap.to_json())
        files.append(f"r{number}.json")
    with simulator("--speed", "2") as provider:
        home.environment["PACELINE_PROVIDER__BASE_URL"] = provider.base_url
        home.run("db", "upgrade")
        with (
            home.started("run", *files, name="run") as running,
            on_a_screen(
                [*PACELINE, "top", "--every", "0.2"],
                folder=home.folder,
                environment=home.whole(),
            ) as screen,
        ):
            screen.until(lambda it: "8 of 8 roadmaps running" in it.text)
            assert len(screen.lines) <= 24
            assert screen.lines[-1] == "q quits"
            assert "more runs" in screen.lines[-2]
            assert [line for line in screen.lines if "per-roadmap" in line], "the worker"
            first = [line for line in screen.lines if "Title of r" in line][:8]
            assert all("running" in line for line in first)
            screen.type("q")
            assert screen.to_the_end() == 0
            running.terminate()


def test_top_in_a_pipe_names_the_command_for_pipes(home: Home) -> None:
    done = subprocess.run(
        [*PACELINE, "top"],
        cwd=home.folder,
        env=home.whole(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "paceline status" in done.stderr
