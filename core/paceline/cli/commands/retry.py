"""``paceline retry``: the old name of ``paceline resume``."""

import click

from paceline.cli.commands.resume import resume
from paceline.client.terminal.app_options import note


@click.command(
    params=resume.params,
    help="Old name of `paceline resume`; it will be removed in the next release.",
)
@click.pass_context
def retry(ctx: click.Context, /, **_: object) -> object:
    """Call ``resume`` with the same arguments."""
    note("`paceline retry` is now `paceline resume`; the old name goes with the next release")
    return ctx.invoke(resume, **ctx.params)
