"""The ``paceline`` command line."""

import sys

import click

from paceline.errors import PacelineError
from paceline.process.garbage import collect_rarely


def main() -> None:
    """Run a command and end the process with its exit code."""
    collect_rarely()
    from paceline.cli.group import cli
    from paceline.client.terminal.output import fault
    from paceline.client.terminal.stdout import Stdout
    from paceline.process.stop_signals import exit_on_stop_signals

    Stdout.guard()
    code: object = 0
    try:
        with exit_on_stop_signals():
            # Not standalone: click would turn Ctrl-C into exit code 1. A command returns its code.
            code = cli.main(prog_name="paceline", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except PacelineError as error:
        fault(str(error))
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = 130
    reason = Stdout.lost()
    if reason is not None:
        fault(f"stdout cannot be written: {reason}")
        code = code or 1
    sys.exit(code if isinstance(code, int) else 0)
