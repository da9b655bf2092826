"""What runs spent without an artifact, in SQL."""

from collections.abc import Iterable, Sequence
from functools import cache

from paceline.contracts.storage.spending import Charge, RunSpending, Spent
from paceline.contracts.storage.timeline import phases_to_text
from sqlalchemy import (
    ColumnElement,
    Integer,
    ScalarSelect,
    Table,
    bindparam,
    cast,
    delete,
    exists,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import now
from paceline_adapters.sql.cost_rows import CostDeltas
from paceline_adapters.sql.insert import Upsert, insert_into
from paceline_adapters.sql.tables import artifacts, charges, concepts, past_versions, runs
from paceline_adapters.sql.url import Dialect

#: A charge with its run and the fence of its claim.
RunCharge = tuple[str, int, Charge]

_KEY = ["run_id", "concept_id", "step", "fence"]
_VALUES = ("attempts", "prompt_tokens", "completion_tokens", "cost", "estimated")
_TIMES = ("seconds", "phases", "charged_at")


@cache
def _put_charge(dialect: Dialect) -> Upsert:
    statement = insert_into(charges, dialect).values(charged_at=now())
    return statement.on_conflict_do_update(
        index_elements=_KEY, set_={name: statement.excluded[name] for name in (*_VALUES, *_TIMES)}
    )


_drop_charge = delete(charges).where(*(charges.c[name] == bindparam(f"of_{name}") for name in _KEY))


def _attempts_in(table: Table) -> ScalarSelect[int]:
    return (
        select(func.coalesce(func.sum(table.c.attempts), 0))
        .where(table.c.run_id == concepts.c.run_id, table.c.concept_id == concepts.c.concept_id)
        .correlate(concepts)
        .scalar_subquery()
    )


#: Number of attempts of a concept over all claims, in an update of its row.
attempts_of_concept = _attempts_in(artifacts) + _attempts_in(past_versions) + _attempts_in(charges)
_count_attempts = (
    update(concepts)
    .where(
        concepts.c.run_id == bindparam("of_run_id"),
        concepts.c.concept_id == bindparam("of_concept_id"),
    )
    .values(attempts=attempts_of_concept)
)


async def write_charges(
    connection: AsyncConnection, dialect: Dialect, made: Iterable[RunCharge], deltas: CostDeltas
) -> None:
    """Add charges, or replace those of the same claim, concept and step.

    What they change is added to ``deltas``.
    """
    rows = {
        (run_id, charge.concept_id, charge.step, fence): {
            "run_id": run_id,
            "concept_id": charge.concept_id,
            "step": charge.step,
            "fence": fence,
            **{name: getattr(charge.spent, name) for name in _VALUES},
            "seconds": charge.seconds,
            "phases": phases_to_text(charge.phases),
        }
        for run_id, fence, charge in made
    }
    if rows:
        await _note_charges(connection, list(rows), deltas, sign=-1)
        await connection.execute(_put_charge(dialect), list(rows.values()))
        await _note_charges(connection, list(rows), deltas)
        counted = {(run_id, concept_id) for run_id, concept_id, _, _ in rows}
        await connection.execute(
            _count_attempts,
            [{"of_run_id": run_id, "of_concept_id": id_} for run_id, id_ in sorted(counted)],
        )


async def drop_charges(
    connection: AsyncConnection, keys: Sequence[tuple[str, str, str, int]], deltas: CostDeltas
) -> None:
    """Remove charges by run, concept, step and fence, because an artifact includes them."""
    rows = [{f"of_{name}": value for name, value in zip(_KEY, key, strict=True)} for key in keys]
    if rows:
        await _note_charges(connection, keys, deltas, sign=-1)
        await connection.execute(_drop_charge, rows)


async def _note_charges(
    connection: AsyncConnection,
    keys: Sequence[tuple[str, str, str, int]],
    deltas: CostDeltas,
    *,
    sign: int = 1,
) -> None:
    """Add the charges that exist to ``deltas``; the model of a charge is not known."""
    found = await connection.execute(
        select(charges, runs.c.tenant)
        .join(runs, runs.c.run_id == charges.c.run_id)
        .where(tuple_(*(charges.c[name] for name in _KEY)).in_(keys))
    )
    for row in found:
        spent = Spent(**{name: getattr(row, name) for name in _VALUES})
        deltas.add(row.tenant, "", row.step, spent, sign)


async def read_spending(connection: AsyncConnection, run_id: str) -> RunSpending:
    """What a run cost: all versions of its artifacts, and its charges."""
    again = exists().where(
        artifacts.c.run_id == charges.c.run_id,
        artifacts.c.concept_id == charges.c.concept_id,
        artifacts.c.step == charges.c.step,
        # A revision that failed after the artifact was saved did not pay it twice.
        artifacts.c.fence.is_(None) | (charges.c.fence <= artifacts.c.fence),
    )
    current = await _sum(connection, artifacts, run_id)
    return RunSpending(
        saved=current + await _sum(connection, past_versions, run_id),
        unsaved=await _sum(connection, charges, run_id),
        duplicates=await _sum(connection, charges, run_id, again | (charges.c.concept_id == "")),
    )


async def _sum(
    connection: AsyncConnection, table: Table, run_id: str, *only: ColumnElement[bool]
) -> Spent:
    result = await connection.execute(
        select(
            func.coalesce(func.sum(table.c.attempts), 0),
            func.coalesce(func.sum(table.c.prompt_tokens), 0),
            func.coalesce(func.sum(table.c.completion_tokens), 0),
            func.sum(table.c.cost),
            func.coalesce(func.max(cast(table.c.estimated, Integer)), 0),
        ).where(table.c.run_id == run_id, *only)
    )
    attempts, prompts, completions, cost, estimated = result.one()
    return Spent(
        attempts=int(attempts),
        prompt_tokens=int(prompts),
        completion_tokens=int(completions),
        cost=cost,
        estimated=bool(estimated),
    )
