"""``paceline audit``."""

from collections.abc import Sequence
from dataclasses import asdict

import click

from paceline.app import App
from paceline.client.terminal.app_options import json_option, run_async, store_options
from paceline.client.terminal.output import echo_json, echo_table, note, table_of
from paceline.contracts.controls import AuditEntry


@click.command()
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="Maximum number of lines.",
)
@store_options
@json_option
def audit(*, limit: int, app: App, as_json: bool) -> int:
    """Show who paused, resumed and changed what, and when; the newest line comes first.

    \b
    Example:
      paceline audit --limit 10
    """
    lines = run_async(_read(app, limit))
    if as_json:
        shown = [
            {**asdict(one), "at": None if one.at is None else one.at.isoformat()} for one in lines
        ]
        echo_json({"entries": shown})
    elif not lines:
        note("nothing was paused or changed yet")
    else:
        rows = [
            (
                "" if one.at is None else f"{one.at:%Y-%m-%d %H:%M:%S}",
                one.by,
                one.action,
                one.subject,
                one.detail,
            )
            for one in lines
        ]
        titles = ("when (UTC)", "by", "action", "subject", "detail")
        echo_table(table_of(titles, rows, whole=("when (UTC)", "action")))
    return 0


async def _read(app: App, limit: int) -> Sequence[AuditEntry]:
    async with app.client(create=False) as client:
        return await client.audit_log(limit=limit)
