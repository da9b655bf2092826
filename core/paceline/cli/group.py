"""The group of all commands: ours and those of plugins, loaded when they are called."""

import importlib
import sys

import click

from paceline.client.terminal.output import show_log, warn
from paceline.plugins.registry import Plugins
from paceline.text import nearest

#: Our commands in the order of a user's first day, with the line that `--help` shows.
COMMANDS = {
    "init": "Write a settings file and an example roadmap to start from.",
    "run": "Generate the content of roadmaps; again to resume what is unfinished.",
    "submit": "Queue roadmaps for workers and return.",
    "worker": "Work on queued runs until stopped.",
    "status": "Show both layers: roadmaps active, and what each has in flight.",
    "watch": "Follow runs until they end.",
    "cancel": "Cancel runs.",
    "resume": "Queue runs again to generate failed and missing concepts.",
    "recover": "Queue again the runs whose worker is gone.",
    "show": "Show runs, concepts and what was generated.",
    "export": "Write what was generated to files.",
    "plugins": "List strategies, executors and all other parts.",
    "config": "Show the effective settings and where each comes from.",
    "doctor": "Check every part, and that the settings can hold.",
}
#: Commands that keep their old name for one release.
OLD_NAMES = ("retry",)


class LazyGroup(click.Group):
    """Knows commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours in their order, then the plugins'."""
        theirs = [name for name in self._plugins(ctx).names("command") if name not in COMMANDS]
        return [*COMMANDS, *theirs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; a plugin's may not replace ours."""
        if cmd_name in COMMANDS or cmd_name in OLD_NAMES:
            module = importlib.import_module(f"paceline.cli.commands.{cmd_name}")
            command = getattr(module, cmd_name)
            return command if isinstance(command, click.Command) else None
        offer = self._plugins(ctx).command(cmd_name)
        return None if offer is None else offer.load()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but name the nearest command."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            ctx.fail(f"No such command {args[0]!r}{nearest(args[0], known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from their summaries alone."""
        plugins = self._plugins(ctx)
        rows = [
            (name, COMMANDS.get(name) or plugins.command_summary(name))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        for broken in plugins.broken:
            warn(f"plugin {broken.name} could not be loaded: {broken.reason}")

    def _plugins(self, ctx: click.Context) -> Plugins:
        root = ctx.find_root()
        if not isinstance(root.obj, Plugins):
            root.obj = Plugins()
        return root.obj


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with `paceline demo`. Then `paceline init` writes a settings file, and "
    "`paceline run roadmap.json` does the work.",
)
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
@click.version_option(package_name="paceline")
def cli(*, verbose: bool) -> None:
    """Generate learning content for roadmaps, one LLM call at a time or all at once.

    A strategy decides when work may start, an executor where a roadmap runs; every strategy
    works with every executor, chosen by settings.
    """
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        # A pipe of an unknown encoding shall not break on a roadmap in Chinese.
        reconfigure(errors="replace")
    show_log(verbose=verbose)
