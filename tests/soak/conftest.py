"""The table of the faults at the end of the session."""

from pathlib import Path

import pytest

from tests.support.soak_report import PROPERTY, Row, table, write


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table and write it."""
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    rows = [
        Row(**value)
        for report in reports
        for name, value in report.user_properties
        if name == PROPERTY and report.when == "call"
    ]
    if rows:
        rows.sort(key=lambda row: (row.fault, row.executor, row.store))
        folder = Path(config.getoption("--soak-folder"))
        write(rows, folder)
        terminalreporter.section(f"faults, also in {folder}/faults.md and faults.json")
        terminalreporter.write_line(table(rows))
