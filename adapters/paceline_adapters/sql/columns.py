"""Column types and time expressions for both SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Dialect, Float, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

# SQLite before 3.42 has no `subsec`; %f gives milliseconds everywhere.
_ISO = "'%Y-%m-%dT%H:%M:%fZ'"


class UtcTime(TypeDecorator[datetime]):
    """A time: ``timestamptz`` on PostgreSQL, else text like ``2026-11-24T12:00:00.000Z``.

    The text has a fixed length, so that texts sort like times. SQLite's date functions read it.
    """

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The database's own type."""
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import TIMESTAMP  # only a server needs it

            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(24))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Convert an aware time from Python."""
        if value is None or dialect.name == "postgresql":
            return value
        utc = value.astimezone(UTC).replace(tzinfo=None)
        return utc.isoformat(timespec="milliseconds") + "Z"

    def process_result_value(
        self,
        value: Any,
        dialect: Dialect,  # noqa: ARG002
    ) -> datetime | None:
        """Convert to an aware time in UTC."""
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return None if value is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text that every database accepts.

    Text of a model or a user may contain NUL, which PostgreSQL rejects, or half of a surrogate
    pair, which is not valid UTF-8. Both become the replacement character.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Convert from Python."""
        if value is None or (value.isascii() and "\x00" not in value):
            return value
        # UTF-16 joins two halves of a pair, and replaces a single half.
        paired = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return paired.replace("\x00", "\ufffd")


class Now(FunctionElement[datetime]):
    """The database's clock now, not at the start of the transaction."""

    type = UtcTime()
    inherit_cache = True


class FromNow(FunctionElement[datetime]):
    """The database's clock plus a number of seconds."""

    type = UtcTime()
    inherit_cache = True


class SecondsSince(FunctionElement[float]):
    """Seconds from a time until now, by the database's clock."""

    type = Float()
    inherit_cache = True


_SQL: dict[tuple[type[FunctionElement[Any]], str], str] = {
    (Now, "postgresql"): "clock_timestamp()",
    (Now, "sqlite"): f"strftime({_ISO}, 'now')",
    (FromNow, "postgresql"): "(clock_timestamp() + make_interval(secs => {0}))",
    (FromNow, "sqlite"): f"strftime({_ISO}, 'now', printf('%+.3f seconds', {{0}}))",
    (SecondsSince, "postgresql"): (
        "CAST(extract(epoch FROM clock_timestamp() - {0}) AS double precision)"
    ),
    (SecondsSince, "sqlite"): "((julianday('now') - julianday({0})) * 86400.0)",
}


@compiles(Now)
@compiles(FromNow)
@compiles(SecondsSince)
def _compile(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
    arguments = [compiler.process(argument, **options) for argument in element.clauses]
    return _SQL[type(element), compiler.dialect.name].format(*arguments)


def now() -> ColumnElement[datetime]:
    """The database's clock."""
    return Now()


def from_now(seconds: float) -> ColumnElement[datetime]:
    """The database's clock plus ``seconds``."""
    return FromNow(float(seconds))


def seconds_since(instant: ColumnElement[datetime]) -> ColumnElement[float]:
    """Age of a time in seconds."""
    return SecondsSince(instant)
