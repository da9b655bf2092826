"""The group of all commands, built-in and from plugins; each is loaded when it is called."""

import importlib
import sys
from typing import TYPE_CHECKING

import click

from paceline.client.terminal.output import show_log, show_plugin_tracebacks, warn
from paceline.plugins.built_ins import BUILT_IN_COMMANDS
from paceline.plugins.installed import any_third_party
from paceline.text import nearest

if TYPE_CHECKING:
    from paceline.plugins.registry import Plugins

#: Commands of this package in the order in which a new user needs them, with their summaries.
COMMANDS = {
    "init": "Write a settings file and an example roadmap to start from.",
    "run": "Generate the content of roadmaps; run it again to resume.",
    "plan": "Forecast time, cost and load of a run before it starts.",
    "submit": "Queue roadmaps for workers, and return at once.",
    "worker": "Work on queued runs until stopped.",
    "status": "Show workers, active runs and what they have in flight.",
    "top": "Watch all workers and unfinished runs on one screen.",
    "watch": "Follow runs until they end.",
    "pause": "Pause runs, a tenant, a model or everything until they are resumed.",
    "cancel": "Cancel runs.",
    "resume": "Continue runs: generate failed and missing concepts; or lift a pause.",
    "limits": "Show and change limits over all workers while they run.",
    "drain": "Let single workers finish their calls and exit.",
    "revise": "Make artifacts again, with an instruction; older versions are kept.",
    "restore": "Make an older version of an artifact current again.",
    "recover": "Queue runs again if their worker has exited.",
    "purge": "Delete runs with everything that belongs to them.",
    "show": "Show runs, concepts and generated content.",
    "logs": "Show what happened to the concepts of a run.",
    "import": "Add content that exists elsewhere to a run or roadmap.",
    "costs": "Show what calls have cost.",
    "audit": "Show who paused and changed what, and when.",
    "export": "Write generated content to files.",
    "sinks": "Show what waits for each sink, and try deliveries again.",
    "plugins": "List strategies, executors and all other plugins.",
    "db": "Create or upgrade the database schema.",
    "config": "Show the effective settings and the origin of each.",
    "doctor": "Check that parts can be reached and settings fit together.",
}
#: Commands that keep their old name for one release.
OLD_NAMES = ("retry",)
#: Where the modules of the commands are, below ``paceline.cli.commands``.
_ROOMS = {
    "runs": ("cancel", "pause", "plan", "recover", "resume", "retry", "run", "submit", "watch"),
    "content": ("costs", "export", "import", "logs", "restore", "revise", "show"),
    "operate": ("audit", "drain", "limits", "purge", "sinks", "status", "top", "worker"),
    "setup": ("config", "db", "doctor", "init", "plugins"),
}
#: Names of modules that cannot have the name of their command.
_NAMES = {"import": "import_content"}


class LazyGroup(click.Group):
    """Imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands of this package in their order, then those of plugins."""
        names = sorted(BUILT_IN_COMMANDS)
        if any_third_party():
            names = [name for name in self._plugins(ctx).names("command") if name not in COMMANDS]
        return [*COMMANDS, *names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command. A plugin cannot replace a command of this package."""
        if cmd_name in COMMANDS or cmd_name in OLD_NAMES:
            name = _NAMES.get(cmd_name, cmd_name)
            [room] = [room for room, names in _ROOMS.items() if cmd_name in names]
            module = importlib.import_module(f"paceline.cli.commands.{room}.{name}")
            command = getattr(module, name)
            return command if isinstance(command, click.Command) else None
        offer = self._plugins(ctx).command(cmd_name)
        return None if offer is None else offer.load()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, but suggest the nearest command."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            ctx.fail(f"No such command {args[0]!r}{nearest(args[0], known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from their summaries, without importing them."""
        known = {**COMMANDS, **BUILT_IN_COMMANDS}
        rows = [
            (name, known.get(name) or self._plugins(ctx).command_summary(name))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        if any_third_party():
            for broken in self._plugins(ctx).broken:
                warn(f"plugin {broken.name} could not be loaded: {broken.reason}")

    def _plugins(self, ctx: click.Context) -> "Plugins":
        from paceline.plugins.registry import Plugins

        root = ctx.find_root()
        if not isinstance(root.obj, Plugins):
            root.obj = Plugins()
        return root.obj


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `paceline demo`. Then write a settings file with `paceline init` and "
    "generate content with `paceline run roadmap.json`.",
)
@click.option("-v", "--verbose", is_flag=True, help="Print more on stderr.")
@click.version_option(package_name="paceline")
def cli(*, verbose: bool) -> None:
    """Generate tutorials, resources and quizzes for learning roadmaps with an LLM.

    A strategy decides when work may start. An executor decides where a roadmap runs. Choose
    both in the settings; every strategy works with every executor.
    """
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        # The encoding of a pipe may not have the characters of a roadmap in Chinese.
        reconfigure(errors="replace")
    show_log(verbose=verbose)
    show_plugin_tracebacks(verbose=verbose)
