"""``paceline bench`` as a user runs it."""

import json
import signal
from pathlib import Path

import pytest
from paceline_adapters.bench.engine import load

from tests.support.cli_processes import Home
from tests.support.eventually import eventually

SMALL = ("--roadmaps", "2", "--concepts", "2", "--speed", "200", "--warm-up", "0")
IN_PROCESS = ("--executor", "in-process", "--store", "sqlite")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder with its own processes."""
    return Home(tmp_path)


def test_ctrl_c_keeps_finished_rounds_and_resume_continues(home: Home) -> None:
    command = ("bench", *SMALL, *IN_PROCESS, "--strategy", "unbounded")
    results = home.folder / "bench-results" / "results.json"
    with home.started(*command, "--rounds", "50") as process:
        eventually(results.exists, within=60)
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 130
    assert "Traceback" not in home.log("process")
    before = load(results).cells[0].rounds
    rounds = len(before) + 1
    report = home.json(*command, "--rounds", str(rounds), "--resume")
    [cell] = report["cells"]
    assert [found["number"] for found in cell["rounds"]] == list(range(1, rounds + 1))
    assert [found["figures"] for found in cell["rounds"][:-1]] == [one.figures for one in before]
    assert cell["name"] in (results.parent / "index.html").read_text()
    error = home.run(*command, "--resume", "--seed", "1", code=2).stderr
    assert "another one" in error


def test_two_benchmarks_are_compared_by_their_ratios(home: Home) -> None:
    def write(name: str, **makespans: float) -> None:
        cells = [
            {
                "name": cell,
                "strategy": "s",
                "executor": "e",
                "store": "sqlite",
                "settings": {},
                "rounds": [{"number": 1, "order": 1, "figures": {"makespan": seconds}}],
            }
            for cell, seconds in makespans.items()
        ]
        document = {
            "paceline": "1",
            "made_at": "2026-01-01T00:00:00+00:00",
            "command": "",
            "machine": {"cores": 2, "memory_gib": 1, "system": "", "python": "", "versions": {}},
            "workload": {"name": "", "seed": 1, "speed": 1, "roadmaps": {}, "latency": {}},
            "cells": cells,
        }
        (home.folder / name).write_text(json.dumps(document))

    write("a.json", one=1.0, two=2.0, three=3.0)
    write("slower.json", one=2.1, two=4.0, three=6.0)
    write("other.json", one=1.0, two=2.0, three=3.5)
    write("alone.json", four=1.0)
    assert (
        "3 of 3 cells agree within 10%"
        in home.run("bench", "--compare", "a.json", "slower.json").stdout
    )
    report = home.json("bench", "--compare", "a.json", "other.json", code=3)
    assert report["outliers"] == ["three"]
    assert (
        "both results have" in home.run("bench", "--compare", "a.json", "alone.json", code=2).stderr
    )
    assert "cannot be read" in home.run("bench", "--compare", "a.json", "no.json", code=2).stderr
    (home.folder / "bad.json").write_text("{}")
    assert (
        "not a benchmark results file"
        in home.run("bench", "--compare", "a.json", "bad.json", code=2).stderr
    )
