"""The ``paceline`` command line."""

import os
import sys

import click

from paceline.errors import PacelineError


def main() -> None:
    """Run a command and end the process with its exit code."""
    from paceline.cli.group import cli
    from paceline.cli.output import fault

    code: object = 0
    try:
        # Not standalone: click would turn Ctrl-C into exit code 1. A command returns its code.
        code = cli.main(prog_name="paceline", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except PacelineError as error:
        fault(str(error))
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = 130
    except BrokenPipeError:
        # Whoever read our output, `head` for one, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code if isinstance(code, int) else 0)
