"""A real PgBouncer in front of a PostgreSQL server, in transaction mode."""

import fcntl
import functools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from paceline.errors import PartUnavailable
from paceline.testing.server_process import HOST, Server
from paceline.testing.servers import Postgres
from paceline.testing.spawn import NOBODY


class PgBouncer(Server):
    """A pooler with few connections to the server, so that clients really share them.

    By default it rejects startup parameters that it does not know.

    Args:
        server: the server behind it.
        size: number of sessions of the server for each database.
        settings: more settings of ``pgbouncer.ini`` by name.
    """

    name = "PgBouncer"
    ready = "process up"
    stop_signal = signal.SIGINT
    orphan_signal = signal.SIGKILL

    def __init__(
        self, server: Postgres, *, size: int = 3, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self._server = server
        self.settings = {"default_pool_size": str(size), **(settings or {})}

    def through(self, url: str) -> str:
        """The URL of a database of the server, through this pooler."""
        return url.replace(f":{self._server.port}/", f":{self.port}/")

    def _prepare(self) -> None:
        users = self.home / "users.txt"
        users.write_text(f'"{self._server.user}" "{self._server.password}"\n')
        if os.geteuid() == 0:  # it refuses to run as root
            self._identity = "nobody"
            for path in (self.home, users):
                os.chown(path, NOBODY, NOBODY)

    def _command(self) -> list[str]:
        file = self.home / "pgbouncer.ini"
        file.write_text(
            f"[databases]\n* = host={HOST} port={self._server.port}\n"
            f"[pgbouncer]\nlisten_addr = {HOST}\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {self.home}/users.txt\npool_mode = transaction\n"
            "max_client_conn = 500\n"
            + "".join(f"{name} = {value}\n" for name, value in self.settings.items())
        )
        return [_program(), str(file)]


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: Postgres) -> Iterator[PgBouncer]:
    """A pooler in front of the server of all tests."""
    with PgBouncer(postgres_server) as pooler:
        yield pooler


@functools.cache
def _program() -> str:
    """The machine's own PgBouncer. PyPI has none, so root installs it if it is missing."""
    places = f"{os.environ.get('PATH', '')}:/usr/sbin"
    with (Path(tempfile.gettempdir()) / "paceline-pgbouncer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other test processes want to install it, too
        if shutil.which("pgbouncer", path=places) is None and os.geteuid() == 0:
            for command in ("update", "install -y pgbouncer"):
                subprocess.run(["apt-get", "-qq", *command.split()], check=False)
    found = shutil.which("pgbouncer", path=places)
    if found is None:
        raise PartUnavailable("this test needs PgBouncer: apt-get install pgbouncer")
    return found
