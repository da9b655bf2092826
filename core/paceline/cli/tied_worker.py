"""``paceline worker``, tied to the command that started it: it ends when that one is gone.

Run as ``python -m paceline.cli.tied_worker PID``, by the process with that id. Linux tells
the end even of a process that was killed; elsewhere a worker outlives such a one.
"""

import ctypes
import os
import signal
import sys

from paceline.cli import main

_PR_SET_PDEATHSIG = 1


def tie(parent: int) -> None:
    """Have SIGTERM sent to this process when its parent ends, however that ends.

    Args:
        parent: the parent's process id.

    Raises:
        SystemExit: it has ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    tie(int(sys.argv.pop()))
    sys.argv.append("worker")
    main()
