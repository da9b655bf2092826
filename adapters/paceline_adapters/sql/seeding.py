"""Artifacts that come from elsewhere: copies from other runs, and content made outside."""

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import groupby
from typing import Any

from paceline import Artifact, Run
from paceline.contracts.storage.records import ENDED
from paceline.contracts.storage.rules import run_in_work_error
from paceline.contracts.storage.seeds import Copy, Seeds
from sqlalchemy import (
    ColumnElement,
    exists,
    func,
    insert,
    literal,
    not_,
    null,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.artifact_rows import add_outside_version
from paceline_adapters.sql.columns import now
from paceline_adapters.sql.outbox_rows import Outlets, count_end, deliver_current
from paceline_adapters.sql.run_rows import read_run
from paceline_adapters.sql.tables import artifacts, concepts, runs
from paceline_adapters.sql.url import Dialect

#: Maximum number of concepts in one statement.
_CHUNK = 500


async def seed_run(
    connection: AsyncConnection,
    dialect: Dialect,
    outlets: Outlets,
    run: tuple[str, str],
    seeds: Seeds,
) -> None:
    """Give a new run its first artifacts, and set the status that follows from them.

    ``run`` is its id and that of its roadmap.
    """
    run_id, roadmap_id = run
    kept = await _kept(connection, {copy.run_id for copy in seeds.copies})
    for (source, step), copies in _grouped([copy for copy in seeds.copies if copy.run_id in kept]):
        for start in range(0, len(copies), _CHUNK):
            chunk = copies[start : start + _CHUNK]
            await _copy(connection, run_id, roadmap_id, source, step, chunk)
    if seeds.copies:
        await deliver_current(connection, outlets, run_id)
    for artifact in seeds.artifacts:
        await add_outside_version(connection, dialect, outlets, run, artifact)
    if seeds.copies or seeds.artifacts:
        await complete_concepts(connection, run_id, seeds.steps)
    if seeds.paused is not None:
        await connection.execute(
            update(runs).where(runs.c.run_id == run_id).values(status="paused", reason=seeds.paused)
        )
        await _complete_run(connection, outlets, run_id)


async def add_outside(
    connection: AsyncConnection,
    dialect: Dialect,
    outlets: Outlets,
    run_id: str,
    made: Sequence[Artifact],
    steps: Sequence[str],
) -> Run:
    """Add artifacts to a run that is not in work.

    Raises:
        RunInWork: it is queued or running.
        RunNotFound: no run has that id.
    """
    run = await read_run(connection, run_id, lock=True)
    if run.status in ("queued", "running"):
        raise run_in_work_error(run)
    known = set(
        await connection.scalars(select(concepts.c.concept_id).where(concepts.c.run_id == run_id))
    )
    for artifact in made:
        if artifact.concept_id in known:
            await add_outside_version(
                connection, dialect, outlets, (run_id, run.roadmap_id), artifact
            )
    await complete_concepts(connection, run_id, steps)
    if run.status in ENDED and run.status != "completed":
        await _complete_run(connection, outlets, run_id)
    return await read_run(connection, run_id)


async def _complete_run(connection: AsyncConnection, outlets: Outlets, run_id: str) -> None:
    """Complete a run that lacks nothing."""
    whole = ~exists().where(concepts.c.run_id == run_id, concepts.c.status != "completed")
    completed = await connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id, whole)
        .values(status="completed", reason=None, finished_at=now())
    )
    if completed.rowcount:
        await count_end(connection, outlets.routes, run_id, "completed")


async def complete_concepts(connection: AsyncConnection, run_id: str, steps: Sequence[str]) -> None:
    """Complete the concepts that have artifacts of all steps."""
    made = (
        select(func.count())
        .where(
            artifacts.c.run_id == concepts.c.run_id,
            artifacts.c.concept_id == concepts.c.concept_id,
            artifacts.c.step.in_(steps),
        )
        .correlate(concepts)
        .scalar_subquery()
    )
    await connection.execute(
        update(concepts)
        .where(concepts.c.run_id == run_id, made >= len(set(steps)))
        .values(status="completed", reason=None, last_answer=None)
    )


async def find_inputs(
    connection: AsyncConnection, hashes: Sequence[str], tenants: Sequence[str]
) -> Mapping[str, Copy]:
    """Current artifacts by the hash of their inputs, the newest of each."""
    found: dict[str, Copy] = {}
    wanted = list(dict.fromkeys(hashes))
    for start in range(0, len(wanted), _CHUNK):
        rows = await connection.execute(
            select(
                artifacts.c.input_hash, artifacts.c.run_id, artifacts.c.concept_id, artifacts.c.step
            )
            .join(runs, runs.c.run_id == artifacts.c.run_id)
            .where(
                artifacts.c.input_hash.in_(wanted[start : start + _CHUNK]),
                runs.c.tenant.in_(tenants),
                not_(runs.c.purging),
            )
            .order_by(artifacts.c.run_id)
        )
        found |= {row.input_hash: Copy(row.run_id, row.concept_id, row.step) for row in rows}
    return found


async def _kept(connection: AsyncConnection, sources: Set[str]) -> Set[str]:
    """The runs that are not being purged. They stay until the transaction ends."""
    if not sources:
        return sources
    found = await connection.scalars(
        select(runs.c.run_id)
        .where(runs.c.run_id.in_(sorted(sources)), not_(runs.c.purging))
        .order_by(runs.c.run_id)
        .with_for_update(read=True, key_share=True)
    )
    return set(found)


def _grouped(copies: Sequence[Copy]) -> Iterator[tuple[tuple[str, str], list[str]]]:
    """Ids of concepts by run and step."""

    def key(copy: Copy) -> tuple[str, str]:
        return copy.run_id, copy.step

    for place, group in groupby(sorted(copies, key=key), key=key):
        yield place, [copy.concept_id for copy in group]


async def _copy(
    connection: AsyncConnection,
    run_id: str,
    roadmap_id: str,
    source: str,
    step: str,
    concept_ids: Sequence[str],
) -> None:
    """Copy the current artifacts of one step from another run, at no cost."""
    origin = func.coalesce(artifacts.c.adopted_from, artifacts.c.run_id)
    values: dict[str, ColumnElement[Any]] = {
        "run_id": literal(run_id),
        "roadmap_id": literal(roadmap_id),
        "prompt_tokens": literal(0),
        "completion_tokens": literal(0),
        "cost": artifacts.c.cost * 0,  # a run without prices stays without
        "seconds": literal(0.0),
        "attempts": literal(0),
        "created_at": now(),
        "version": literal(1),
        "changes": literal(1),
        "adopted_from": origin,
        "fence": null(),
        "saving": literal(0.0),
        "phases": null(),
    }
    query = select(*(values.get(one.name, one).label(one.name) for one in artifacts.c)).where(
        artifacts.c.run_id == source,
        artifacts.c.step == step,
        artifacts.c.concept_id.in_(concept_ids),
    )
    await connection.execute(
        insert(artifacts).from_select([one.name for one in artifacts.c], query)
    )
