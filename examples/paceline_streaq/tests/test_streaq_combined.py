"""The executor as a user meets it: in `paceline plugins` and in the benchmark."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: Two short roadmaps against a simulated LLM with short calls.
BENCH = (
    *("bench", "--executor", "streaq", "--store", "postgresql", "--report", "out"),
    *("--strategy", "global:concurrency=4", "--roadmaps", "2", "--concepts", "3"),
    *("--speed", "100", "--rounds", "1", "--warm-up", "0"),
)


def paceline(folder: Path, *arguments: str, **environment: str) -> str:
    """Run a command to its end; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "paceline", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_command_line_finds_the_executor_and_documents_its_options(tmp_path: Path) -> None:
    shown = paceline(tmp_path, "plugins", "show", "streaq")
    assert "idle_timeout" in shown
    assert "Runs in streaQ workers" in shown


def test_the_benchmark_measures_it_and_says_how_to_configure_it(tmp_path: Path) -> None:
    paceline(tmp_path, *BENCH)
    results: Any = json.loads((tmp_path / "out" / "results.json").read_text())
    [cell] = results["cells"]
    assert cell["name"].startswith("global:concurrency=4 / streaq")
    [measured] = cell["rounds"]
    assert measured["figures"]["calls_peak"] == pytest.approx(4)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "[redis]" in page
