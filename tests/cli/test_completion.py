"""Completion in the shell, as docs/reference/cli.md describes it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACELINE = Path(sys.executable).with_name("paceline")


def completed(shell: str, **environment: str) -> str:
    """What the command prints for a shell."""
    return subprocess.run(
        [PACELINE],
        env={**os.environ, "_PACELINE_COMPLETE": shell, **environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


@pytest.mark.parametrize(
    ("line", "word", "expected"),
    [("paceline ben", "1", "plain,bench\n"), ("paceline run --exec", "2", "plain,--executor\n")],
)
def test_the_shell_completes_commands_and_options(line: str, word: str, expected: str) -> None:
    assert completed("bash_complete", COMP_WORDS=line, COMP_CWORD=word) == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_each_documented_shell_gets_a_script(shell: str) -> None:
    assert f"_PACELINE_COMPLETE={shell}_complete" in completed(f"{shell}_source")
