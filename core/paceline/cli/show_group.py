"""A group of which the command ``show`` is the default."""

import click


class ShowGroup(click.Group):
    """Runs ``show`` if no command is named: ``paceline config --json`` works."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``show`` before options that are not for help."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)
