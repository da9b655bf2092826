"""Column types and time expressions that read the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Dialect, Float, String
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

# SQLite before 3.42 has no `subsec`; %f gives milliseconds everywhere.
_ISO = "'%Y-%m-%dT%H:%M:%fZ'"


class UtcTime(TypeDecorator[datetime]):
    """An instant: ``timestamptz`` on PostgreSQL, else text like ``2026-11-24T12:00:00.000Z``.

    The text has a fixed length, so that comparing text compares time, and SQLite's own date
    functions read it.
    """

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that the database knows."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(24))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """From Python; a naive time would be a guess and is an error."""
        if value is None or dialect.name == "postgresql":
            return value
        utc = value.astimezone(UTC).replace(tzinfo=None)
        return utc.isoformat(timespec="milliseconds") + "Z"

    def process_result_value(
        self,
        value: Any,
        dialect: Dialect,  # noqa: ARG002
    ) -> datetime | None:
        """To Python, aware and in UTC."""
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return None if value is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text that any database takes.

    What a model or a user wrote may hold NUL, which PostgreSQL refuses, or half of a
    surrogate pair, which is not UTF-8. Both become the replacement character.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """From Python."""
        if value is None or (value.isascii() and "\x00" not in value):
            return value
        # UTF-16 pairs what is half, and replaces what stays so.
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\x00", "\ufffd")


class Now(FunctionElement[datetime]):
    """The database's clock at this moment, not at the transaction's start."""

    type = UtcTime()
    inherit_cache = True


class FromNow(FunctionElement[datetime]):
    """The database's clock plus so many seconds."""

    type = UtcTime()
    inherit_cache = True


class SecondsSince(FunctionElement[float]):
    """Seconds from an instant until the database's clock now."""

    type = Float()
    inherit_cache = True


def _argument(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
    (argument,) = element.clauses
    return compiler.process(argument, **options)


@compiles(Now, "postgresql")
def _now_postgresql(_element: Now, _compiler: SQLCompiler, **_options: Any) -> str:
    return "clock_timestamp()"


@compiles(Now, "sqlite")
def _now_sqlite(_element: Now, _compiler: SQLCompiler, **_options: Any) -> str:
    return f"strftime({_ISO}, 'now')"


@compiles(FromNow, "postgresql")
def _from_now_postgresql(element: FromNow, compiler: SQLCompiler, **options: Any) -> str:
    seconds = _argument(element, compiler, **options)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"


@compiles(FromNow, "sqlite")
def _from_now_sqlite(element: FromNow, compiler: SQLCompiler, **options: Any) -> str:
    seconds = _argument(element, compiler, **options)
    return f"strftime({_ISO}, 'now', printf('%+.3f seconds', {seconds}))"


@compiles(SecondsSince, "postgresql")
def _since_postgresql(element: SecondsSince, compiler: SQLCompiler, **options: Any) -> str:
    instant = _argument(element, compiler, **options)
    return f"CAST(extract(epoch FROM clock_timestamp() - {instant}) AS double precision)"


@compiles(SecondsSince, "sqlite")
def _since_sqlite(element: SecondsSince, compiler: SQLCompiler, **options: Any) -> str:
    instant = _argument(element, compiler, **options)
    return f"((julianday('now') - julianday({instant})) * 86400.0)"


def now() -> ColumnElement[datetime]:
    """The database's clock."""
    return Now()


def from_now(seconds: float) -> ColumnElement[datetime]:
    """The database's clock plus ``seconds``."""
    return FromNow(float(seconds))


def seconds_since(instant: ColumnElement[datetime]) -> ColumnElement[float]:
    """Age of an instant in seconds."""
    return SecondsSince(instant)
