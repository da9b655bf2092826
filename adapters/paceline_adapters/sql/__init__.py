"""The SQL store: SQLite embedded, PostgreSQL in production."""

from collections.abc import Callable, Mapping


def exclude_paceline(
    schema: str | None = None,
) -> Callable[[str | None, str, Mapping[str, str | None]], bool]:
    """Keep ``alembic revision --autogenerate`` of a host application from dropping our tables.

    Pass the result as ``include_name`` to ``context.configure`` in the host's ``env.py``.

    Args:
        schema: the setting ``store.schema_name``.
    """
    from paceline_adapters.sql.tables import metadata
    from paceline_adapters.sql.versions import VERSION_TABLE

    ours = {VERSION_TABLE, *metadata.tables}

    def include_name(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
        if kind == "table":
            return name not in ours or parents.get("schema_name") != schema
        return kind != "schema" or schema is None or name != schema

    return include_name
