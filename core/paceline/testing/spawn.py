"""Start a server that ends with this process, as another user if it refuses to run as root.

`spawn` runs this file as a script in a new process, which then becomes the server. The argument
`preexec_fn` of `Popen` would be unsafe in a process with threads.
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
"""The user of the new process: the current one, or ``nobody``. On Linux, ``namespace`` keeps root
and its file permissions, but the process sees itself as an ordinary user."""

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
    """Start a command in a new session, so that Ctrl-C does not reach it.

    Args:
        command: path and arguments of the program.
        home: working folder. The command fails if its user cannot enter it.
        log: file for its output.
        identity: user of the command.
        end_signal: signal that it receives when this process ends for any reason (Linux only).
        environment: all of its environment variables. Default: those of this process.
        keep_open: file descriptors to inherit.
    """
    script = [sys.executable, "-I", "-S", __file__]
    arguments = [str(os.getpid()), str(end_signal.value), identity, str(home)]

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603
            [*script, *arguments, *command],
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
    """The thread that starts all servers of a process. A fork has no threads, so it has its own.

    Linux sends the end signal when the *thread* that started the child ends, and the thread of a
    caller may end long before its process.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="paceline-servers")


def _become(parent: int, end_signal: int, identity: str, home: str, command: list[str]) -> None:
    if identity == "nobody":
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    elif identity == "namespace":
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER):
            raise OSError(ctypes.get_errno(), "cannot create a user namespace")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} 0 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} 0 1")
    if sys.platform == "linux":  # a change of user would reset it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, end_signal, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the parent process has already ended")
    os.chdir(home)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    _become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
