"""The transaction of a group commit: artifacts and states of concepts, guarded by fences."""

from collections.abc import Sequence
from dataclasses import dataclass

from paceline import Artifact, Claim, ConceptState
from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import now
from paceline_adapters.sql.ownership import owns
from paceline_adapters.sql.tables import artifacts, concepts, runs
from paceline_adapters.sql.url import Dialect


@dataclass(frozen=True, slots=True)
class Save:
    """The writes of one caller. Both happen, or neither."""

    claim: Claim
    artifact: Artifact | None
    concept: ConceptState | None


_set_concept = (
    update(concepts)
    .where(
        concepts.c.run_id == bindparam("of_run"), concepts.c.concept_id == bindparam("of_concept")
    )
    .values(
        status=bindparam("status"),
        reason=bindparam("reason"),
        attempts=bindparam("attempts"),
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
    connection: AsyncConnection, dialect: Dialect, batch: Sequence[Save]
) -> set[int]:
    """Write a batch without its stale members.

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
    made = [_artifact(save.claim, save.artifact) for save in kept if save.artifact is not None]
    if made:
        await connection.execute(_add_artifact[dialect], made)
    states = [_concept(save.claim, save.concept) for save in kept if save.concept is not None]
    if states:
        await connection.execute(_set_concept, states)
    return stale


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
    }


def _concept(claim: Claim, concept: ConceptState) -> dict[str, object]:
    return {
        "of_run": claim.run_id,
        "of_concept": concept.concept_id,
        "status": concept.status,
        "reason": concept.reason,
        "attempts": concept.attempts,
        "last_answer": concept.last_answer,
    }
