"""Start a server that dies with us and, where it refuses to be root, is not root.

Two halves: `spawn` in our process, and the few lines that this file runs as a script in
the new process before it becomes the server. A script, because `preexec_fn` is unsafe
(and warned of) in a process with threads.
"""

import ctypes
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Literal

Identity = Literal["self", "nobody", "namespace"]
"""As whom it runs: as we do; as the user ``nobody``; or, on Linux, as root that a user
namespace shows as an ordinary user, which may read what only root may."""

NOBODY = 65534
_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000


def spawn(
    command: Sequence[str],
    *,
    home: Path,
    log: IO[bytes],
    identity: Identity = "self",
    end_signal: signal.Signals = signal.SIGKILL,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a command in its folder, in a session of its own (Ctrl-C is not for it).

    Args:
        command: the program's path and its arguments.
        home: its working folder; spawning fails when it may not enter that.
        log: takes what it prints.
        identity: as whom it runs.
        end_signal: what it gets when our process ends, however that ends (Linux only).
        environment: its whole environment; ours, when none is given.
        keep_open: file descriptors that it inherits.
    """
    script = [sys.executable, "-I", "-S", __file__]
    orders = [str(os.getpid()), str(end_signal.value), identity, str(home)]

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603
            [*script, *orders, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=keep_open,
            start_new_session=True,
        )

    return _spawner(os.getpid()).submit(start).result()


@functools.cache
def _spawner(_pid: int) -> ThreadPoolExecutor:
    """Give the one thread that starts servers, per process as forks lose their threads.

    Linux tells a child of its parent's death when the *thread* that made it ends: a
    caller's own thread may end long before the process.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="paceline-servers")


def _become(parent: int, end_signal: int, identity: str, home: str, command: list[str]) -> None:
    if identity == "nobody":
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    elif identity == "namespace":
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER):
            raise OSError(ctypes.get_errno(), "no user namespace to be had")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} 0 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} 0 1")
    if sys.platform == "linux":  # after the change of identity, which would undo it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, end_signal, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the parent ended first")
    os.chdir(home)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    _become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
