"""``paceline`` commands as processes: a home folder, a simulated LLM, free ports."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually

PACELINE = [sys.executable, "-m", "paceline"]


@dataclass(frozen=True, slots=True)
class Simulator:
    """A simulated LLM in a process of its own."""

    base_url: str

    def figures(self) -> dict[str, Any]:
        """The counts of the simulator."""
        root = self.base_url.removesuffix("/v1")
        with urllib.request.urlopen(f"{root}/__paceline/stats") as answer:
            figures: dict[str, Any] = json.load(answer)
        return figures

    def reset(self) -> None:
        """Reset the counts."""
        root = self.base_url.removesuffix("/v1")
        urllib.request.urlopen(f"{root}/__paceline/reset", data=b"").close()


@contextmanager
def simulator(*arguments: str) -> Iterator[Simulator]:
    """Start ``paceline simulator``; stop it at the end."""
    process = subprocess.Popen(
        [*PACELINE, "simulator", "--port", "0", "--json", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            yield Simulator(json.loads(process.stdout.readline())["base_url"])
        finally:
            process.terminate()


@dataclass(slots=True)
class Home:
    """A working folder of a user, with settings in its environment."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])
    python: str = sys.executable

    def run(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; its exit code must be ``code``, unless that is None."""
        done = subprocess.run(
            [self.python, "-m", "paceline", *arguments],
            cwd=self.folder,
            env=self.whole(),
            check=False,
            capture_output=True,
            text=True,
            timeout=200,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        """Run a command with ``--json`` and decode what it printed."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    @contextmanager
    def started(
        self, *arguments: str, name: str = "process", more: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """A command that keeps running, killed at the end. It logs to ``name.log``."""
        with (self.folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                [self.python, "-m", "paceline", *arguments],
                cwd=self.folder,
                env=self.whole() | dict(more or {}),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    @contextmanager
    def workers(self, *arguments: str, count: int = 1) -> Iterator[list[subprocess.Popen[str]]]:
        """Worker processes that are ready: registered in the store."""
        if not count:
            yield []
            return
        with (
            self.workers(*arguments, count=count - 1) as others,
            self.started("worker", *arguments, name=f"worker{count}") as process,
        ):
            eventually(
                lambda: process.poll() is not None or len(self.worker_pids()) > len(others),
                within=30,
            )
            assert process.poll() is None, self.log(f"worker{count}")
            yield [*others, process]

    def worker_pids(self) -> Sequence[int]:
        """Pids of the registered workers; none while the first one creates the database."""
        status = self.run("status", "--json", code=None)
        if "there is no database" in status.stderr:
            return ()
        return [worker["pid"] for worker in json.loads(status.stdout)["workers"]]

    def log(self, name: str) -> str:
        """The output of a started command."""
        return (self.folder / f"{name}.log").read_text()

    def whole(self) -> dict[str, str]:
        """The environment of its processes, without our own settings."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PACELINE_", "OPENAI_", "OTEL_"))
        }
        return kept | self.environment
