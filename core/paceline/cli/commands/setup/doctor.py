"""``paceline doctor``."""

from collections.abc import Sequence
from dataclasses import asdict

import click

from paceline.app import App
from paceline.client.terminal.app_options import app_options, json_option, run_async
from paceline.client.terminal.output import Cell, echo_json, echo_table, table_of, terminal_safe
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
    from rich.text import Text

    rows: list[list[Cell]] = []
    for one in findings:
        text = Text(terminal_safe(one.text))
        if one.fix:
            text.append(f"  fix: {terminal_safe(one.fix)}", style="cyan")
        rows.append([(one.level, _STYLES[one.level]), one.part, text])
    table = table_of(("level", "part", "text"), rows, whole=("level", "part"))
    table.show_header = False
    echo_table(table)
