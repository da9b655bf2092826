"""``paceline worker`` that stops when the process that started it ends.

That process runs ``python -m paceline.cli.tied_worker PID`` with its own process id. On Linux
the worker also stops if that process is killed; on other systems it does not.
"""

import ctypes
import os
import signal
import sys

from paceline.cli import main

_PR_SET_PDEATHSIG = 1


def tie(parent: int) -> None:
    """Let the kernel send SIGTERM to this process when its parent ends.

    Raises:
        SystemExit: the parent has ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    tie(int(sys.argv.pop()))
    sys.argv.append("worker")
    main()
