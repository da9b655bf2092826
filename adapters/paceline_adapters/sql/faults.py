"""Database errors: which are transient, and a text for each.

A driver's own text contains statements and parameters, so only its first line is shown.
"""

import re
import socket
import sqlite3
import ssl

from paceline import PartUnavailable
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from paceline_adapters.sql.url import Address

#: Transient SQLSTATEs: serialization, deadlock, lock timeout, no connection left.
_TRANSIENT = frozenset({"40001", "40P01", "55P03", "53300"})
#: SQLSTATEs that only this connection has: its server stops, starts or became a standby, its
#: session ended or was given to another client by a pooler, or its transaction or statement is
#: out of date.
_STALE = frozenset(
    {"57P01", "57P02", "57P03", "57P05", "25006", "25P02", "25P03", "25P04", "26000", "42P05"}
)
_BUSY, _LOCKED = 5, 6

_STATES = {
    "28P01": "the user name or the password is wrong",
    "28000": "the user may not connect",
    "3D000": "the server has no such database",
    "53100": "the server's disk is full",
    "53300": "the server accepts no more connections (max_connections)",
    "55P03": "a row stayed locked for too long",
    "57P03": "the server is starting or stopping",
    "25006": "the server is read-only",
}
#: Errors of the driver without a code.
_PHRASES = {
    "unsupported startup parameter: options": (
        "the pooler in front of the server rejects options: set them for the role instead, with "
        "ALTER ROLE … SET"
    ),
    "rejected SSL upgrade": "the server offers no TLS, but the URL requires it (sslmode)",
    "target attribute requirement": (
        "no host has the role that the URL requires (target_session_attrs)"
    ),
}
_SQLITE = {
    5: "another process kept it locked for too long",
    6: "another process kept it locked for too long",
    8: "it is read-only",
    10: "its disk cannot be written or read (is it full?)",
    13: "the disk is full",
    14: "it cannot be opened: does its folder exist, and is it writable?",
    23: "access to it is denied",
    26: "it is not an SQLite database",
}


def needs_new_connection(error: BaseException) -> bool:
    """Whether the same statements may succeed on another connection, but not on this one."""
    if isinstance(error, TimeoutError):  # the server did not answer
        return True
    state = _state(error)
    return state in _STALE or state.startswith("08") or "cached statement plan" in str(error)


def is_transient(error: BaseException) -> bool:
    """Whether the same statements may succeed at another attempt."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, (DBAPIError, sqlite3.Error)):
        again = _state(error) in _TRANSIENT or _sqlite_code(error) in (_BUSY, _LOCKED)
        return again or needs_new_connection(error)
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLCertVerificationError)


def is_rejection(error: BaseException) -> bool:
    """Whether a value or a row may have caused the error, so that other rows can be written."""
    return not is_transient(error) and not isinstance(error, PoolTimeout)


def unavailable(error: BaseException, address: Address) -> PartUnavailable:
    """The error as one line that names the database, without its password."""
    return PartUnavailable(f"{address.place}: {_reason(error)}")


def is_database_error(error: BaseException) -> bool:
    """Whether an error comes from the database or the connection, not from our own code."""
    return isinstance(error, (SQLAlchemyError, sqlite3.Error, OSError))


def taken_name(error: BaseException) -> str | None:
    """What could not be created because its name is taken, such as ``table runs``."""
    found = re.match(r'(\w+) "?(\w+)"? already exists', _first_line(_driver_error(error)))
    return None if found is None else " ".join(found.groups())


def _reason(error: BaseException) -> str:
    for phrase, reason in _PHRASES.items():
        if phrase in str(error):
            return reason
    if isinstance(error, PoolTimeout):
        return (
            "all connections of this process were in use for too long "
            "(store.pool_size, store.max_overflow, store.pool_timeout)"
        )
    if isinstance(error, (DBAPIError, sqlite3.Error)):
        known = _STATES.get(_state(error)) or _SQLITE.get(_sqlite_code(error))
        return known or _first_line(_driver_error(error))
    if isinstance(error, SQLAlchemyError):
        return _first_line(error)
    if isinstance(error, socket.gaierror):
        return "its host name is unknown"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of the server is not valid: {error.verify_message} (sslrootcert)"
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return "connection refused"
    if isinstance(error, (ConnectionError, FileNotFoundError)):
        return "the connection was cut" if isinstance(error, ConnectionError) else "no such socket"
    return _first_line(error)


def _driver_error(error: BaseException) -> BaseException:
    return error.orig or error if isinstance(error, DBAPIError) else error


def _state(error: BaseException) -> str:
    state = getattr(_driver_error(error), "sqlstate", None)
    return state if isinstance(state, str) else ""


def _sqlite_code(error: BaseException) -> int:
    code = getattr(_driver_error(error), "sqlite_errorcode", None)
    # The upper bits distinguish variants of one fault.
    return code & 0xFF if isinstance(code, int) else 0


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    line = lines[0] if lines else type(error).__name__
    # The adapter prefixes the driver's class: "<class 'asyncpg…'>: text".
    line = line.partition(">: ")[2] if line.startswith("<class ") else line
    # asyncpg quotes the value that it cannot send.
    return "a value is out of its range" if line.startswith("invalid input for query") else line
