"""The table of the kills at the end of the session."""

from pathlib import Path

import pytest

from tests.soak.report import ROWS, table, write


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table and write it."""
    if ROWS:
        folder = Path(config.getoption("--soak-folder"))
        write(folder)
        terminalreporter.section(f"kill -9, also in {folder}/kills.md and kills.json")
        terminalreporter.write_line(table())
