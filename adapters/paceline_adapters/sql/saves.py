"""The transaction of a group commit: artifacts, concepts, journal, and what calls cost."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from paceline import Artifact, Claim, ConceptState
from paceline.contracts.records import JournalEntry
from paceline.contracts.spending import Charge
from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.charges import (
    RunCharge,
    attempts_of_concept,
    drop_charges,
    write_charges,
)
from paceline_adapters.sql.columns import now
from paceline_adapters.sql.journal import drop_entries, write_entries
from paceline_adapters.sql.outbox_rows import NO_OUTLETS, OF_ARTIFACT, Outlets, add_artifacts
from paceline_adapters.sql.ownership import owns
from paceline_adapters.sql.tables import artifacts, concepts, runs
from paceline_adapters.sql.url import Dialect


@dataclass(frozen=True, slots=True)
class Save:
    """The writes of one caller. A stale claim writes only what it spent.

    ``journaled``: the artifact replaces the journal of its step.
    """

    claim: Claim
    artifact: Artifact | None = None
    concept: ConceptState | None = None
    charge: Charge | None = None
    entry: JournalEntry | None = None
    journaled: bool = False


_set_concept = (
    update(concepts)
    .where(
        concepts.c.run_id == bindparam("of_run"), concepts.c.concept_id == bindparam("of_concept")
    )
    .values(
        status=bindparam("status"),
        reason=bindparam("reason"),
        attempts=attempts_of_concept,
        last_answer=bindparam("last_answer"),
        updated_at=now(),
    )
)
_add_artifact = {
    # A second save of an artifact changes nothing: the first one stays.
    "postgresql": postgresql.insert(artifacts).values(created_at=now()).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(artifacts).values(created_at=now()).on_conflict_do_nothing(),
}


async def write_batch(
    connection: AsyncConnection,
    dialect: Dialect,
    batch: Sequence[Save],
    outlets: Outlets = NO_OUTLETS,
) -> set[int]:
    """Write a batch without its stale members, and what goes to sinks.

    Returns:
        Indexes of the stale members.
    """
    ids = sorted({save.claim.run_id for save in batch})
    # Every transaction locks runs in this order, so they cannot deadlock. The lock is shared: it
    # delays a claim or the end of the run, but not other writers.
    locked = await connection.execute(
        select(runs.c.run_id, runs.c.fence, runs.c.owner, runs.c.status)
        .where(runs.c.run_id.in_(ids))
        .order_by(runs.c.run_id)
        .with_for_update(read=True)
    )
    rows = {row.run_id: row for row in locked}
    stale = {
        index
        for index, save in enumerate(batch)
        if not owns(rows.get(save.claim.run_id), save.claim)
    }
    kept = [save for index, save in enumerate(batch) if index not in stale]
    await write_entries(
        connection,
        dialect,
        [(save.claim.run_id, save.entry) for save in kept if save.entry is not None],
    )
    made = [_artifact(save.claim, save.artifact) for save in kept if save.artifact is not None]
    if made:
        if outlets:
            added = await connection.execute(_add_artifact[dialect].returning(*OF_ARTIFACT), made)
            await add_artifacts(connection, outlets, added.all())
        else:
            await connection.execute(_add_artifact[dialect], made)
        repaired = (
            (save.claim.run_id, artifact.concept_id, artifact.step, save.claim.fence)
            for save in kept
            if (artifact := save.artifact) is not None and artifact.attempts > 1
        )
        await drop_charges(connection, repaired)
        replaced = (
            (save.claim.run_id, artifact.concept_id, artifact.step)
            for save in kept
            if (artifact := save.artifact) is not None and save.journaled
        )
        await drop_entries(connection, replaced)
    lost = [batch[index] for index in stale]
    await write_charges(
        connection, dialect, [*_charges(batch, rows), *_charges(map(_as_charge, lost), rows)]
    )
    states = [_concept(save.claim, save.concept) for save in kept if save.concept is not None]
    if states:
        await connection.execute(_set_concept, states)
    return stale


def _as_charge(save: Save) -> Save:
    """A stale save: its artifact is lost, and its cost is not."""
    artifact = save.artifact
    if artifact is None:
        return Save(save.claim)
    charge = Charge(concept_id=artifact.concept_id, step=artifact.step, spent=artifact.spent)
    return Save(save.claim, charge=charge)


def _charges(saves: Iterable[Save], runs: Container[str]) -> Iterator[RunCharge]:
    for save in saves:
        if save.charge is not None and save.claim.run_id in runs:
            yield save.claim.run_id, save.claim.fence, save.charge


def _artifact(claim: Claim, artifact: Artifact) -> dict[str, object]:
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
    }


def _concept(claim: Claim, concept: ConceptState) -> dict[str, object]:
    return {
        "of_run": claim.run_id,
        "of_concept": concept.concept_id,
        "status": concept.status,
        "reason": concept.reason,
        "last_answer": concept.last_answer,
    }
