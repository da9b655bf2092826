"""Tables on narrow terminals."""

import pytest
from paceline.client.terminal.output import echo_table
from rich.table import Table


def test_a_narrow_terminal_wraps_long_names_and_cuts_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "30")
    table = Table("option", "meaning", box=None, pad_edge=False)
    table.add_row("prefetch_multiplier", "What a worker holds beyond what it works on.")
    echo_table(table)
    said = capsys.readouterr().out
    assert "…" not in said
    assert "prefetch_multi " in said
    assert "plier " in said
