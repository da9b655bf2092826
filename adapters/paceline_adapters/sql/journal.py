"""The journal of steps in SQL."""

from collections.abc import Iterable, Sequence
from functools import cache

from paceline.contracts.storage.records import JournalEntry
from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import now
from paceline_adapters.sql.insert import Upsert, insert_into
from paceline_adapters.sql.tables import journal
from paceline_adapters.sql.url import Dialect

_STEP = ("run_id", "concept_id", "step")
_drop = delete(journal).where(*(journal.c[name] == bindparam(f"of_{name}") for name in _STEP))


@cache
def _add(dialect: Dialect) -> Upsert:
    # A second record of a result changes nothing: the first one stays.
    return insert_into(journal, dialect).values(created_at=now()).on_conflict_do_nothing()


async def write_entries(
    connection: AsyncConnection, dialect: Dialect, entries: Iterable[tuple[str, JournalEntry]]
) -> None:
    """Add entries, each with the id of its run, unless they exist."""
    rows = [
        {
            "run_id": run_id,
            "concept_id": entry.concept_id,
            "step": entry.step,
            "version": entry.version,
            "name": entry.name,
            "value": entry.value,
        }
        for run_id, entry in entries
    ]
    if rows:
        await connection.execute(_add(dialect), rows)


async def drop_entries(connection: AsyncConnection, keys: Iterable[tuple[str, str, str]]) -> None:
    """Remove the entries of steps by run, concept and step, because the artifact is saved."""
    rows = [{f"of_{name}": value for name, value in zip(_STEP, key, strict=True)} for key in keys]
    if rows:
        await connection.execute(_drop, rows)


async def read_entries(
    connection: AsyncConnection, run_id: str, concept_id: str
) -> Sequence[JournalEntry]:
    """The entries of a concept, oldest first."""
    query = (
        select(journal)
        .where(journal.c.run_id == run_id, journal.c.concept_id == concept_id)
        .order_by(journal.c.created_at, journal.c.step, journal.c.version, journal.c.name)
    )
    return [
        JournalEntry(
            concept_id=row.concept_id,
            step=row.step,
            version=row.version,
            name=row.name,
            value=row.value,
        )
        for row in await connection.execute(query)
    ]
