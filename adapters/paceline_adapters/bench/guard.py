"""Ends what a benchmark started if the benchmark itself is killed.

The benchmark holds one end of a pipe, and the guard, a process of its own, reads the other end.
However the benchmark ends, the pipe closes. The guard then ends every process that carries the
benchmark's mark in its environment, and the descendants of these processes. Children inherit the
mark, so it also reaches servers, workers and programs that the benchmark did not start itself.

Run as ``python -m paceline_adapters.bench.guard MARK``.
"""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import psutil

#: The environment variable with the mark.
VARIABLE = "BENCHMARK_OF_PACELINE"
#: Seconds to end after SIGTERM, and between two searches.
_PATIENCE, _INTERVAL = 3.0, 0.2


@contextmanager
def guarded() -> Generator[None]:
    """End all processes that the block starts when it ends, also if this process is killed."""
    mark = secrets.token_hex(8)
    guard = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "paceline_adapters.bench.guard", mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # signals to the group of the benchmark do not reach it
    )
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = mark
    try:
        with guard:  # closes the pipe and waits
            yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


def end_all(mark: str) -> None:
    """End every process with this mark, and its descendants, until none is left."""
    # A process that was forked last carries the mark only after it has replaced its program.
    quiet = 0
    while quiet < 2:
        found = _marked(mark)
        quiet = 0 if found else quiet + 1
        for process in found:
            _signal(process)
        _, alive = psutil.wait_procs(found, timeout=_PATIENCE)
        for process in alive:
            _signal(process, kill=True)
        time.sleep(_INTERVAL)


def _marked(mark: str) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.environ().get(VARIABLE) != mark:
                continue
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            for one in (process, *process.children(recursive=True)):
                found[one.pid] = one
        except (psutil.Error, OSError):
            continue  # it has ended, or belongs to another user
    return list(found.values())


def _signal(process: psutil.Process, *, kill: bool = False) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.Error:
        return


if __name__ == "__main__":
    sys.stdin.read()
    end_all(sys.argv[1])
