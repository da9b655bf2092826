"""``paceline doctor``."""

from collections.abc import Sequence
from dataclasses import asdict

import click

from paceline.app import App
from paceline.client.terminal.app_options import (
    app_options,
    echo_json,
    echo_table,
    json_option,
    run_async,
    terminal_safe,
)
from paceline.contracts.finding import Finding, Level
from paceline.text import count

_STYLES: dict[Level, str] = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


@click.command()
@app_options
@json_option
def doctor(*, app: App, as_json: bool) -> int:
    """Check that parts can be reached and settings fit together.

    Connects to the store, Redis, the queue and the provider, adds up the database connections
    of all processes, and looks for times and limits that conflict. It changes nothing and
    makes no LLM call that costs money. The exit code is 1 if something is wrong.

    \b
    Examples:
      paceline doctor
      paceline doctor --executor celery --json
    """
    from paceline.doctor.examine import examine

    findings = run_async(examine(app.factory))
    wrong = sum(one.level == "wrong" for one in findings)
    if as_json:
        echo_json({"findings": [asdict(one) for one in findings], "wrong": wrong})
    else:
        _print(findings)
        warnings = sum(one.level == "warning" for one in findings)
        click.echo(f"{wrong} wrong, {count(warnings, 'warning')}, {count(len(findings), 'check')}")
    return 1 if wrong else 0


def _print(findings: Sequence[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for one in findings:
        text = Text(terminal_safe(one.text))
        if one.fix:
            text.append(f"  fix: {terminal_safe(one.fix)}", style="cyan")
        table.add_row(
            Text(one.level, style=_STYLES[one.level]), Text(terminal_safe(one.part)), text
        )
    echo_table(table)
