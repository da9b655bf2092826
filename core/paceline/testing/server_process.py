"""A server process of a test: started with nothing, crashed, restarted, removed."""

import importlib.util
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from paceline.errors import PartUnavailable
from paceline.testing.spawn import Identity, spawn

HOST = "127.0.0.1"

#: Below the ports that systems hand to clients: else a client that keeps trying to reach a
#: killed server may get the server's port as its own, and talk to itself.
PORTS = range(15_000, 32_000)


class Server(ABC):
    """A server process, started and ended by hand or by ``with``."""

    name: ClassVar[str]
    ready: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    orphan_signal: ClassVar[signal.Signals]

    #: Seconds that a start or a stop may take.
    patience: float = 30.0

    def __init__(self) -> None:
        self.port = 0
        self._home: Path | None = None
        self._identity: Identity = "self"
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    @property
    def url(self) -> str:
        """Where clients reach it, with the password; fixed from `start` to `stop`."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The main process, for signals."""
        if self._process is None:
            raise PartUnavailable(f"{self.name} is not running")
        return self._process.pid

    @property
    def log(self) -> str:
        """What it printed since its last start."""
        return (self.home / "server.log").read_text(errors="replace")

    @property
    def home(self) -> Path:
        """The temporary folder that holds all it writes."""
        if self._home is None:
            raise PartUnavailable(f"{self.name} was not started")
        return self._home

    def start(self) -> Self:
        """Start it with no data, and return when it takes connections."""
        if self._home is not None:
            raise PartUnavailable(f"{self.name} was started already: stop or restart it")
        self._home = Path(tempfile.mkdtemp(prefix=f"paceline-{self.name.lower()}-"))
        try:
            self._prepare()
            self._launch(may_move=True)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it tidily and remove its data; without effect when it was never started."""
        self._end(self.stop_signal)
        if self._home is not None:
            shutil.rmtree(self._home)
        self._home = None

    def kill(self) -> None:
        """End it as a crash does (SIGKILL); its data stay for `restart`."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start it again on the same port with the data it had; first stop it if it runs."""
        self._end(self.stop_signal)
        self._launch(may_move=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _prepare(self) -> None:
        """Fill the new home."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Give the command line that listens on `port`."""

    def _launch(self, *, may_move: bool) -> None:
        deadline = time.monotonic() + self.patience
        while True:
            if may_move:
                self.port = free_port()
            self._spawn(self._command())
            while self._process is not None and self._process.poll() is None:
                if self.ready in self.log:
                    return
                if time.monotonic() > deadline:
                    break
                time.sleep(0.005)
            self._end(signal.SIGKILL)
            if "in use" not in self.log or time.monotonic() > deadline:
                tail = "\n".join(self.log.splitlines()[-10:])
                raise PartUnavailable(f"{self.name} did not start on port {self.port}:\n{tail}")
            time.sleep(0.05)

    def _run(self, command: list[str]) -> None:
        """Run a program of the server's to its end, in its home and as whom it runs."""
        self._spawn(command)
        status = self._process.wait(self.patience) if self._process else 0
        self._end(signal.SIGKILL)
        if status:
            raise PartUnavailable(f"{Path(command[0]).name} failed:\n{self.log.strip()}")

    def _spawn(self, command: list[str]) -> None:
        # Every process of the server holds the pipe's other end: it is at its end when the
        # last of them is gone, which for PostgreSQL is later than the one we started.
        self._lifeline, theirs = os.pipe()
        try:
            with (self.home / "server.log").open("wb") as log:
                self._process = spawn(
                    command,
                    home=self.home,
                    log=log,
                    identity=self._identity,
                    end_signal=self.orphan_signal,
                    keep_open=[theirs],
                )
        finally:
            os.close(theirs)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        select.select([self._lifeline], [], [], self.patience)
        os.close(self._lifeline)
        self._process = None


def in_wheel(package: str, pattern: str) -> Path:
    """Find a file of an installed package without importing it, which would warn."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        for found in Path(folder).glob(pattern):
            return found
    raise PartUnavailable(
        f"the package {package.replace('_', '-')} is not installed: pip install "
        "'paceline[testing]', or 'paceline[bench]' for benchmarks"
    )


def free_port() -> int:
    """Find a port of the loopback that nobody listens on."""
    while True:
        port = random.choice(PORTS)  # noqa: S311
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
