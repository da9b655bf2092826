"""Commands that run in the test's process, in a folder and an environment of their own."""

import os
from pathlib import Path

import pytest

from tests.support.cli_terminal import Terminal


@pytest.fixture
def paceline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """Commands in an empty folder, whose environment holds a key and nothing else of ours."""
    for name in list(os.environ):
        if name.startswith(("PACELINE_", "OPENAI_")) or name == "COLUMNS":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    terminal = Terminal(tmp_path, monkeypatch, capsys)
    terminal.setenv(OPENAI_API_KEY="sk-very-secret")
    return terminal
