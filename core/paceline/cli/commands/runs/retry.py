"""``paceline retry``: the old name of ``paceline resume``."""

import click

from paceline.cli.commands.runs.resume import resume
from paceline.client.terminal.output import note


@click.command(
    params=resume.params, help="Old name of `paceline resume`. The next release removes it."
)
@click.pass_context
def retry(ctx: click.Context, /, **_: object) -> object:
    """Run ``resume`` with the same arguments."""
    note("`paceline retry` is now `paceline resume`; the next release removes the old name")
    return ctx.invoke(resume, **ctx.params)
