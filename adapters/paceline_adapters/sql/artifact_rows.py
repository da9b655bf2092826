"""Rows of ``artifacts`` and ``past_versions``, and how a new version replaces the current one."""

from collections.abc import Sequence
from functools import cache

from paceline import Artifact, Claim
from paceline.contracts.storage.timeline import phases_to_text
from sqlalchemy import (
    ColumnElement,
    Delete,
    Insert,
    Table,
    Update,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import now
from paceline_adapters.sql.insert import Upsert, insert_into
from paceline_adapters.sql.outbox_rows import (
    OF_ARTIFACT,
    Outlets,
    add_deliveries,
    deliver_current,
)
from paceline_adapters.sql.tables import AnyRow, artifacts, past_versions, revisions
from paceline_adapters.sql.url import Dialect

_KEY = ("run_id", "concept_id", "step")
#: Columns of a version that are not part of its key.
_KEPT = tuple(one.name for one in past_versions.c if one.name not in _KEY)


@cache
def _add(dialect: Dialect) -> Upsert:
    # A second save of an artifact changes nothing: the first one stays.
    return insert_into(artifacts, dialect).values(created_at=now()).on_conflict_do_nothing()


def _of(table: Table) -> list[ColumnElement[bool]]:
    return [table.c[name] == bindparam(f"of_{name}") for name in _KEY]


def of_place(run_id: str, concept_id: str, step: str) -> dict[str, object]:
    """The parameters that name one artifact."""
    return {"of_run_id": run_id, "of_concept_id": concept_id, "of_step": step}


_archive: Insert = insert(past_versions).from_select(
    [*_KEY, *_KEPT], select(*(artifacts.c[name] for name in (*_KEY, *_KEPT))).where(*_of(artifacts))
)
_newest = func.coalesce(
    select(func.max(past_versions.c.version))
    .where(*(past_versions.c[name] == artifacts.c[name] for name in _KEY))
    .correlate(artifacts)
    .scalar_subquery(),
    0,
)
#: The current version must be among the past ones already.
_replace: Update = (
    update(artifacts)
    .where(*_of(artifacts))
    .values(
        **{
            name: bindparam(name)
            for name in _KEPT
            if name not in ("version", "created_at", "adopted_from")
        },
        created_at=now(),
        version=_newest + 1,
        adopted_from=None,
        changes=artifacts.c.changes + 1,
        stale=False,
    )
)
_this_past = [*_of(past_versions), past_versions.c.version == bindparam("of_version")]
_restore: Update = (
    update(artifacts)
    .where(*_of(artifacts))
    .values(
        **{
            name: select(past_versions.c[name]).where(*_this_past).scalar_subquery()
            for name in _KEPT
        },
        changes=artifacts.c.changes + 1,
        stale=False,
    )
)
_unarchive: Delete = delete(past_versions).where(*_this_past)
_mark_stale: Update = update(artifacts).where(*_of(artifacts)).values(stale=True)
_fulfil = (
    delete(revisions)
    .where(*_of(revisions), revisions.c.number == bindparam("of_number"))
    .returning(revisions.c.number)
)


async def add_first_versions(
    connection: AsyncConnection,
    dialect: Dialect,
    outlets: Outlets,
    made: Sequence[tuple[Claim, Artifact, float]],
) -> set[tuple[str, str, str]]:
    """Insert first versions, with the seconds that each waited for its transaction.

    Artifacts that exist already stay as they are.

    Returns:
        Run, concept and step of those that did not exist.
    """
    if not made:
        return set()
    rows = [artifact_row(claim, artifact, saving) for claim, artifact, saving in made]
    inserted = await connection.execute(_add(dialect).returning(*OF_ARTIFACT), rows)
    added = inserted.all()
    if outlets:
        await add_deliveries(connection, outlets, added)
    return {(row.run_id, row.concept_id, row.step) for row in added}


async def fulfil_request(
    connection: AsyncConnection, run_id: str, artifact: Artifact, number: int
) -> bool:
    """Remove the request that an artifact fulfils; returns whether it existed."""
    place = of_place(run_id, artifact.concept_id, artifact.step)
    found = await connection.execute(_fulfil, {**place, "of_number": number})
    return found.one_or_none() is not None


async def add_version(
    connection: AsyncConnection,
    dialect: Dialect,
    outlets: Outlets,
    claim: Claim,
    artifact: Artifact,
    saving: float = 0.0,
) -> None:
    """Make an artifact the current version. The version before it becomes a past one."""
    place = of_place(claim.run_id, artifact.concept_id, artifact.step)
    await connection.execute(_archive, place)
    row = artifact_row(claim, artifact, saving)
    replaced = await connection.execute(_replace, {**row, **place})
    if not replaced.rowcount:
        await connection.execute(_add(dialect), row)
    await deliver_current(
        connection,
        outlets,
        claim.run_id,
        artifacts.c.concept_id == artifact.concept_id,
        artifacts.c.step == artifact.step,
    )


async def add_outside_version(
    connection: AsyncConnection,
    dialect: Dialect,
    outlets: Outlets,
    run: tuple[str, str],
    artifact: Artifact,
) -> None:
    """Make an artifact that no worker made the current version; ``run`` has its roadmap's id."""
    run_id, roadmap_id = run
    claim = Claim(run_id=run_id, roadmap_id=roadmap_id, worker_id="", fence=0)
    await add_version(connection, dialect, outlets, claim, artifact)


async def restore_version(
    connection: AsyncConnection,
    outlets: Outlets,
    place: tuple[str, str, str],
    version: int,
) -> None:
    """Swap the current version with a past one, which must exist."""
    run_id, concept_id, step = place
    named = of_place(run_id, concept_id, step)
    await connection.execute(_archive, named)
    this = {**named, "of_version": version}
    await connection.execute(_restore, this)
    await connection.execute(_unarchive, this)
    await deliver_current(
        connection,
        outlets,
        run_id,
        artifacts.c.concept_id == concept_id,
        artifacts.c.step == step,
    )


async def mark_stale(
    connection: AsyncConnection, run_id: str, concept_id: str, steps: Sequence[str]
) -> None:
    """Mark the artifacts of steps as made from an earlier version."""
    if steps:
        await connection.execute(
            _mark_stale, [of_place(run_id, concept_id, step) for step in steps]
        )


def artifact_row(claim: Claim, artifact: Artifact, saving: float) -> dict[str, object]:
    """The columns of an artifact that a worker saves; ``saving`` is in seconds."""
    return {
        "run_id": claim.run_id,
        "roadmap_id": claim.roadmap_id,
        "concept_id": artifact.concept_id,
        "step": artifact.step,
        "content": artifact.content,
        "model": artifact.model,
        "prompt_tokens": artifact.prompt_tokens,
        "completion_tokens": artifact.completion_tokens,
        "cost": artifact.cost,
        "seconds": artifact.seconds,
        "attempts": artifact.attempts,
        "estimated": artifact.estimated,
        "fallback": artifact.fallback,
        "prompt_hash": artifact.prompt_hash,
        "input_hash": artifact.input_hash,
        "instruction": artifact.instruction,
        "tenant": artifact.tenant,
        "requested_by": artifact.requested_by,
        "fence": claim.fence,
        "saving": round(saving, 6),
        "phases": phases_to_text(artifact.phases),
    }


def as_current(row: AnyRow) -> Artifact:
    """A row of ``artifacts`` as a record."""
    return Artifact(
        concept_id=row.concept_id,
        step=row.step,
        content=row.content,
        model=row.model,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cost=row.cost,
        seconds=row.seconds,
        attempts=row.attempts,
        estimated=row.estimated,
        created_at=row.created_at,
        fallback=row.fallback,
        version=row.version,
        prompt_hash=row.prompt_hash,
        input_hash=row.input_hash,
        instruction=row.instruction,
        tenant=row.tenant,
        requested_by=row.requested_by,
        adopted_from=row.adopted_from,
        changes=row.changes,
        stale=bool(row.stale),
    )
