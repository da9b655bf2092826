"""``paceline demo`` serves its page until Ctrl-C on a terminal; without one it exits when done."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.eventually import eventually

DEMO = [sys.executable, "-m", "paceline", "demo", "--speed", "50"]


def title_of(url: str) -> str:
    """The title of the page at an address."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        found = re.search("<title>(.*)</title>", answer.read().decode())
    assert found is not None
    return found[1]


def test_the_demo_without_a_terminal_serves_the_page_and_exits_when_done(tmp_path: Path) -> None:
    with subprocess.Popen(DEMO, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        url = re.search(r"http://\S+", demo.stdout.readline())
        assert url is not None
        eventually(lambda: _answers(url[0]), 60)
        rest, _ = demo.communicate(timeout=200)
    assert demo.returncode == 0
    assert rest.count("completed, ") == 8
    assert "Next:" in rest
    assert "until Ctrl-C" not in rest


@pytest.mark.soak
def test_the_demo_on_a_terminal_keeps_serving_the_page_until_ctrl_c(tmp_path: Path) -> None:
    ours, its = os.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "100"}
    with subprocess.Popen(
        DEMO, cwd=tmp_path, env=environment, stdin=its, stdout=its, stderr=its
    ) as demo:
        os.close(its)
        os.set_blocking(ours, False)
        said = bytearray()

        def stays() -> bool:
            with suppress(BlockingIOError):
                said.extend(os.read(ours, 65_536))
            return b"until Ctrl-C" in said

        eventually(stays, 200)
        url = re.search(rb"The page stays at (http://\S+)", said)
        assert url is not None
        assert title_of(url[1].decode()) == "paceline"
        assert demo.poll() is None
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
    os.close(ours)
    assert b"Traceback" not in said


def _answers(url: str) -> bool:
    try:
        return title_of(url) == "paceline"
    except OSError:
        return False
