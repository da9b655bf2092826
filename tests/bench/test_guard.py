"""What a benchmark started ends with it, also if it is killed."""

import subprocess
import sys
from pathlib import Path

import psutil
from paceline_adapters.bench.guard import VARIABLE, guarded

from tests.support.cli_processes import Home
from tests.support.eventually import eventually


def test_a_benchmark_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.started("bench", "--quick", "--executor", "celery", "--rounds", "50") as process:
        host, *_ = eventually(lambda: _complete(psutil.Process(process.pid)), within=90)
        mark, started = host.environ()[VARIABLE], psutil.Process(process.pid).children(True)
        assert len(_marked(mark)) > 3
        process.kill()
        process.wait()
        eventually(lambda: not [one for one in started if _runs(one)], within=60)
        eventually(lambda: not _marked(mark), within=10)


def _complete(benchmark: psutil.Process) -> list[psutil.Process]:
    """The measured process of a round, once there is a process of each other kind."""
    found = {one: _command(one) for one in benchmark.children(recursive=True)}
    kinds = ("bench.guard", "simulator", "tied_worker", "postgres", "valkey")
    if not all(any(kind in text for text in found.values()) for kind in kinds):
        return []
    return [one for one, text in found.items() if "bench.host" in text]


#: Starts a program that ignores SIGTERM in a session of its own, and ends.
_DETACHES = """
import subprocess, sys
ignores = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
quiet = subprocess.DEVNULL
child = subprocess.Popen([sys.executable, "-c", ignores], stdout=quiet, start_new_session=True)
print(child.pid)
"""


def test_a_detached_process_that_ignores_sigterm_ends_with_the_benchmark() -> None:
    with guarded():
        done = subprocess.run(
            [sys.executable, "-c", _DETACHES], stdout=subprocess.PIPE, check=True, timeout=30
        )
        left = psutil.Process(int(done.stdout))
        assert _runs(left)
    assert not _runs(left)


def _marked(mark: str) -> list[psutil.Process]:
    """The processes of a benchmark, its guard, and the servers that it started."""
    found: list[psutil.Process] = []
    for one in psutil.process_iter():
        try:
            marked = mark in one.cmdline() or one.environ().get(VARIABLE) == mark
        except psutil.Error:
            continue
        found += [one, *one.children(recursive=True)] if marked else []
    return found


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
