"""How a pool process reacts to SIGTERM, for example when its whole process group gets one.

The pool's own handler restores the signal's default action and then raises ``SystemExit``.
From then on a second SIGTERM kills the process, even if it still has to hand back a run. With
the handler of this module, the first signal ends the process and later signals do nothing.
"""

import signal
import sys

from paceline_adapters.celery.runtime import runtime
from paceline_adapters.celery.untyped import note_exit


def exit_once(number: int, _frame: object) -> None:
    """Handle a signal in a pool process: the first one raises ``SystemExit``.

    The handler stays in place. Replacing it here would leave an instant in which another
    signal finds the default action. Under ``nohup``, SIGHUP is still ignored.
    """
    if runtime.hangup_ignored and number == signal.SIGHUP:
        return
    if not runtime.exiting:
        runtime.exiting = True
        note_exit()
        sys.exit(number - 256)


def ignore_sigterm() -> None:
    """Ignore further signals in a pool process that is about to exit.

    To stop its runs at once, send a second SIGTERM to the main process.
    """
    runtime.exiting = True
