"""A server process for tests, which can crash and restart."""

import importlib.util
import os
import random
import selectors
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

#: Below the ephemeral ports. Otherwise a client that reconnects to a killed server could get the
#: server's port as its own, and connect to itself.
PORTS = range(15_000, 32_000)


class Server(ABC):
    """A server process. Start and stop it with ``with``, or with `start` and `stop`."""

    name: ClassVar[str]
    ready: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    orphan_signal: ClassVar[signal.Signals]

    #: Maximum seconds of a start or a stop.
    patience: float = 30.0
    #: Folder for the home of the server; the system's folder for temporary files by default.
    folder: Path | None = None

    def __init__(self) -> None:
        self.port = 0
        self._home: Path | None = None
        self._identity: Identity = "self"
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    @property
    def url(self) -> str:
        """URL for clients, with the password. It is fixed from `start` to `stop`."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """Id of the main process, for signals."""
        if self._process is None:
            raise PartUnavailable(f"{self.name} is not running")
        return self._process.pid

    @property
    def log(self) -> str:
        """Output since the last start."""
        return (self.home / "server.log").read_text(errors="replace")

    @property
    def home(self) -> Path:
        """Temporary folder for all files of the server."""
        if self._home is None:
            raise PartUnavailable(f"{self.name} was not started")
        return self._home

    def start(self) -> Self:
        """Start without data, and return when the server accepts connections."""
        if self._home is not None:
            raise PartUnavailable(f"{self.name} is already started: stop or restart it")
        self._home = Path(
            tempfile.mkdtemp(prefix=f"paceline-{self.name.lower()}-", dir=self.folder)
        )
        try:
            self._prepare()
            self._launch(may_move=True)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Shut down and remove the data. Without effect if the server is not started."""
        self._end(self.stop_signal)
        if self._home is not None:
            shutil.rmtree(self._home)
        self._home = None

    def kill(self) -> None:
        """End the process with SIGKILL, and keep the data for `restart`."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again with the same port and data. Shut down first if the server runs."""
        self._end(self.stop_signal)
        self._launch(may_move=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _prepare(self) -> None:
        """Write the first files to the home folder."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The command line of the server, which must listen on `port`."""

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
        """Run a program to its end, in the server's home folder and as the server's user."""
        self._spawn(command)
        status = self._process.wait(self.patience) if self._process else 0
        self._end(signal.SIGKILL)
        if status:
            raise PartUnavailable(f"{Path(command[0]).name} failed:\n{self.log.strip()}")

    def _spawn(self, command: list[str]) -> None:
        # All processes of the server inherit the pipe's other end, so that the pipe closes when
        # the last one exits. For PostgreSQL, that is not the process that we start.
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
        # Not `select`, which knows only the first 1024 files of a process.
        with selectors.DefaultSelector() as selector:
            selector.register(self._lifeline, selectors.EVENT_READ)
            selector.select(self.patience)
        os.close(self._lifeline)
        self._process = None


def in_wheel(package: str, pattern: str) -> Path:
    """Find a file of an installed package without an import, which would warn."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        for found in Path(folder).glob(pattern):
            return found
    raise PartUnavailable(
        f"the package {package.replace('_', '-')} is not installed: pip install "
        "'paceline[testing]', or 'paceline[bench]' for benchmarks"
    )


def free_port() -> int:
    """Find an unused port of the loopback interface."""
    while True:
        port = random.choice(PORTS)  # noqa: S311
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
