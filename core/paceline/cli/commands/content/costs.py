"""``paceline costs``."""

import csv
import io
from collections.abc import Sequence
from typing import cast

import click

from paceline.app import App
from paceline.client.render import spent_to_json, spent_words
from paceline.client.terminal.app_options import app_options, json_option, run_async
from paceline.client.terminal.output import echo_json, echo_table, note, table_of
from paceline.contracts.storage.budgets import CostLine, CostsBy
from paceline.contracts.storage.spending import Spent
from paceline.errors import UsageError

#: Shown for what has no name.
UNKNOWN = {"tenant": "(no tenant)", "model": "(unknown: calls without an artifact)"}


@click.command()
@click.option(
    "--by",
    type=click.Choice(["run", "tenant", "model", "step", "day"]),
    default="model",
    show_default=True,
    help="What to sum up by.",
)
@click.option("--since", metavar="DAY", help="First day in UTC, such as 2026-11-30.")
@click.option("--until", metavar="DAY", help="Last day in UTC.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the sums as CSV.")
@app_options
@json_option
def costs(
    *, by: str, since: str | None, until: str | None, as_csv: bool, app: App, as_json: bool
) -> int:
    """Show what calls have cost.

    The sums contain calls without a result, and the calls of purged runs. Only --by run leaves
    purged runs out; there, --since and --until choose runs by the day of their submission.

    \b
    Examples:
      paceline costs
      paceline costs --by day --since 2026-11-01
      paceline costs --by tenant --csv
    """
    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other; use at most one")
    lines = run_async(_read(app, cast("CostsBy", by), since, until))
    currency = app.settings.provider.currency
    if as_json:
        shown = [{"name": line.name, **spent_to_json(line.spent)} for line in lines]
        echo_json({"by": by, "currency": currency, "costs": shown})
    elif as_csv:
        click.echo(_csv(lines, by, currency), nl=False)
    elif not lines:
        note("no call was made yet")
    else:
        _print(lines, by, currency)
    return 0


async def _read(app: App, by: CostsBy, since: str | None, until: str | None) -> Sequence[CostLine]:
    async with app.client(create=False) as client:
        return await client.costs(by, since=since, until=until)


def _print(lines: Sequence[CostLine], by: str, currency: str) -> None:
    def row(name: str, spent: Spent) -> tuple[str, ...]:
        return (name, f"{spent.attempts:,}", *spent_words(spent, currency))

    rows = [row(line.name or UNKNOWN.get(by, "(unknown)"), line.spent) for line in lines]
    if len(lines) > 1:
        rows.append(row("all", sum((line.spent for line in lines), start=Spent())))
    figures = ("calls", "tokens", "cost")
    echo_table(table_of((by, *figures), rows, right=figures, whole=(by, *figures)))


def _csv(lines: Sequence[CostLine], by: str, currency: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [by, "attempts", "prompt_tokens", "completion_tokens", "cost", "currency", "estimated"]
    )
    for line in lines:
        one = spent_to_json(line.spent)
        writer.writerow(
            [
                line.name,
                one["attempts"],
                one["prompt_tokens"],
                one["completion_tokens"],
                "" if one["cost"] is None else one["cost"],
                currency,
                str(one["estimated"]).lower(),
            ]
        )
    return text.getvalue()
