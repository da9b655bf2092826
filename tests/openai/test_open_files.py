"""The limit of open files bounds the connections of a process and fails no call."""

import subprocess
import sys

from tests.support.cli_processes import Simulator, simulator

#: Long enough for most calls to be in flight together.
LATENCY = ("--latency", "default=2")


def make_calls(llm: Simulator, *, soft: int, hard: int, calls: int) -> str:
    """Run a process with these limits that makes simultaneous calls; return its output."""
    command = [sys.executable, "-m", "tests.support.many_calls_process", llm.base_url]
    done = subprocess.run(
        [*command, str(soft), str(hard), str(calls)], capture_output=True, text=True, check=False
    )
    return done.stdout or done.stderr


def test_the_open_file_limit_is_raised_for_the_configured_connections() -> None:
    """The usual one would be too low for the default of a thousand."""
    with simulator(*LATENCY) as llm:
        assert make_calls(llm, soft=100, hard=2000, calls=300) == "300\n"
        assert llm.figures()["in_flight_peak"] > 100


def test_calls_wait_if_the_open_file_limit_cannot_be_raised() -> None:
    """300 files less those of the rest of the process leave a hundred calls."""
    with simulator(*LATENCY) as llm:
        assert make_calls(llm, soft=100, hard=300, calls=250) == "250\n"
        assert llm.figures()["in_flight_peak"] <= 100
