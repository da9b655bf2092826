"""Connections to a PostgreSQL server, or to a pooler in front of it.

A pooler may run each transaction on another session of the server. So no session has state of
ours: settings are set in each transaction, locks last as long as one, and statements have no name.
"""

import asyncio
import contextlib
import importlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline import PartUnavailable
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError

from paceline_adapters.sql.faults import needs_new_connection
from paceline_adapters.sql.server_url import KeepAlive, Server

if TYPE_CHECKING:
    from sqlalchemy import AdaptedConnection, Engine
    from sqlalchemy.engine import ExceptionContext

#: The driver, which has no type annotations.
asyncpg: Any = importlib.import_module("asyncpg")

#: Maximum number of seconds of one statement on a server.
_COMMAND_TIMEOUT = 30.0
#: A connection that was idle for this many seconds is checked before it is used.
_IDLE = 1.0
#: Maximum number of seconds of that check.
_CHECK = 3.0
#: Seconds to wait until the server also closes a connection.
_FAREWELL = 0.2
_KEY = "paceline_returned"


class Connector:
    """Opens connections, and remembers what they found.

    Args:
        place: name of the database in errors.
        server: where it is.
        timeout: seconds to wait for a connection.
        lease: seconds of a run's lease. No transaction holds its locks for that long. Without
            a lease, statements and locks have no time limit.

    Attributes:
        pooled: whether the newest connection goes through a pooler.
        read_only: whether its server accepted no writes when the connection was opened.
    """

    def __init__(self, place: str, server: Server, *, timeout: float, lease: float | None) -> None:
        self.pooled = server.pooled
        self.read_only = False
        self._place = place
        self._server = server
        self._timeout = server.connect_timeout or timeout
        self._command_timeout = None if lease is None else _COMMAND_TIMEOUT
        begin = "" if lease is None else _limits(lease)
        self._class = _connection_class(begin, server.keep_alive)

    async def __call__(self, **_: Any) -> Any:
        """Open a connection.

        Raises:
            PartUnavailable: the database cannot hold every text.
        """
        connection = await self._connect()
        try:
            if not self.pooled and await _is_pooled(connection):
                self.pooled = True
                connection.terminate()
                connection = await self._connect()
            self._examine(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _connect(self) -> Any:
        _leave_unreadable_home()
        return await asyncpg.connect(
            **self._server.arguments(),
            server_settings=dict(self._server.session),
            timeout=self._timeout,
            command_timeout=self._command_timeout,
            # Without a cache, the driver uses unnamed statements, and sends each of them together
            # with its parameters.
            statement_cache_size=0 if self.pooled else 100,
            connection_class=self._class,
        )

    def _examine(self, connection: Any) -> None:
        settings = connection.get_settings()
        encoding = getattr(settings, "server_encoding", "UTF8")
        if encoding != "UTF8":
            raise PartUnavailable(
                f"{self._place}: its encoding {encoding} cannot store every text; "
                "create a database with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
        self.read_only = "on" in (
            getattr(settings, "in_hot_standby", "off"),
            getattr(settings, "default_transaction_read_only", "off"),
        )


def _leave_unreadable_home() -> None:
    """Treat a home folder that this process may not read as none.

    The driver looks there for certificates and passwords, and would not connect at all.
    """
    try:
        Path("~/.postgresql").expanduser().stat()
    except PermissionError:
        os.environ["HOME"] = os.devnull
    except (OSError, RuntimeError):
        pass


def watch(engine: "Engine") -> None:
    """Replace pooled connections that are dead, or lead to a server that changed its role."""
    event.listen(engine, "handle_error", _on_error)
    event.listen(engine, "invalidate", _on_invalidate)
    event.listen(engine, "checkin", _on_checkin)
    event.listen(engine, "checkout", _on_checkout)


def _on_error(context: "ExceptionContext") -> None:
    if needs_new_connection(context.original_exception):
        context.is_disconnect = True


def _on_invalidate(connection: "AdaptedConnection", *_: object) -> None:
    # A graceful end would wait for a server that may not answer.
    connection.driver_connection.terminate()


def _on_checkin(_connection: object, record: Any) -> None:
    record.info[_KEY] = time.time()  # unlike a monotonic clock, it passes while a laptop sleeps


def _on_checkout(connection: "AdaptedConnection", record: Any, _proxy: object) -> None:
    idle = time.time() - record.info.get(_KEY, time.time())
    if 0 <= idle < _IDLE:
        return
    try:
        connection.run_async(lambda driver: driver.execute("SELECT 1", timeout=_CHECK))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        # The other connections of the pool are as old, so they are replaced as well.
        raise InvalidatePoolError from None


def _limits(lease: float) -> str:
    """Settings of each transaction: a suspended process loses its locks before its lease."""
    return (
        f"SET LOCAL lock_timeout = {lease / 3 * 1000:.0f};"
        f"SET LOCAL idle_in_transaction_session_timeout = {lease / 2 * 1000:.0f};"
    )


async def _is_pooled(connection: Any) -> bool:
    """Whether the session of the server is not the one that we connected to."""
    async with connection.transaction():
        statement = await connection.prepare("SELECT pg_backend_pid()", name="")
        return bool(await statement.fetchval() != connection.get_server_pid())


def _connection_class(begin: str, keep_alive: KeepAlive) -> type[Any]:
    class Connection(asyncpg.Connection):  # type: ignore[misc]
        def __init__(self, protocol: Any, transport: asyncio.Transport, *rest: Any) -> None:
            base: Any = super()
            base.__init__(protocol, transport, *rest)
            _set_keep_alive(transport.get_extra_info("socket"), keep_alive)

        async def execute(self, query: str, *args: Any, timeout: float | None = None) -> Any:
            base: Any = super()
            if query.startswith("BEGIN"):
                query += begin  # in the same round trip
            return await base.execute(query, *args, timeout=timeout)

        async def close(self, *, timeout: float | None = None) -> None:  # noqa: ARG002
            base: Any = super()
            with contextlib.suppress(OSError):  # a dead connection is dropped
                await base.close(timeout=_FAREWELL)

    return Connection


def _set_keep_alive(link: socket.socket, how: KeepAlive) -> None:
    if link.family == socket.AF_UNIX:
        return
    options = [("SO_KEEPALIVE", socket.SOL_SOCKET, int(how.idle > 0))]
    if how.idle:
        tcp = socket.IPPROTO_TCP
        options += [("TCP_KEEPIDLE", tcp, how.idle), ("TCP_KEEPINTVL", tcp, how.interval)]
        options += [("TCP_KEEPCNT", tcp, how.probes)]
    if how.unsent:
        options += [("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, round(how.unsent * 1000))]
    for name, level, value in options:
        number = getattr(socket, name, None)  # not every system has all of them
        if number is not None:
            with contextlib.suppress(OSError):
                link.setsockopt(level, number, value)
