"""What runs consist of and what was made: roadmaps, concepts, artifacts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from paceline import Artifact, ConceptState, Roadmap, RunNotFound
from paceline.contracts.records import ConceptStatus
from sqlalchemy import func, select

from paceline_adapters.sql import runs
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.tables import AnyRow, artifacts, concepts, roadmaps


async def roadmap(database: Database, run_id: str) -> Roadmap:
    """See ``Store.roadmap``."""
    query = select(roadmaps.c.content).where(roadmaps.c.run_id == run_id)
    content = await database.read(lambda connection: connection.scalar(query))
    if content is None:
        raise RunNotFound(f"no run has the id {run_id!r}")
    return Roadmap.model_validate_json(content)


async def concept_states(
    database: Database,
    run_id: str,
    *,
    status: Sequence[ConceptStatus],
    limit: int | None,
    after: str | None,
) -> Sequence[ConceptState]:
    """See ``Store.concepts``."""
    query = select(*_STATE).where(concepts.c.run_id == run_id).order_by(concepts.c.position)
    if status:
        query = query.where(concepts.c.status.in_(status))
    if after is not None:
        place = select(concepts.c.position).where(
            concepts.c.run_id == run_id, concepts.c.concept_id == after
        )
        query = query.where(concepts.c.position > place.scalar_subquery())
    query = query.limit(limit)
    states = [
        _state(row) for row in await database.read(lambda connection: connection.execute(query))
    ]
    if not states:
        await runs.one(database, run_id)
    return states


async def one_concept(database: Database, run_id: str, concept_id: str) -> ConceptState | None:
    """See ``Store.concept``."""
    query = select(*_STATE).where(concepts.c.run_id == run_id, concepts.c.concept_id == concept_id)
    row = (await database.read(lambda connection: connection.execute(query))).one_or_none()
    return None if row is None else _state(row)


_STATE = (
    concepts.c.concept_id,
    concepts.c.status,
    concepts.c.reason,
    concepts.c.attempts,
    concepts.c.last_answer,
)


def _state(row: AnyRow) -> ConceptState:
    return ConceptState(
        concept_id=row.concept_id,
        status=row.status,
        reason=row.reason,
        attempts=row.attempts,
        last_answer=row.last_answer,
    )


async def artifact_steps(
    database: Database, run_id: str, wanted: Sequence[str] | None
) -> Mapping[str, frozenset[str]]:
    """See ``Store.artifact_steps``."""
    query = select(artifacts.c.concept_id, artifacts.c.step).where(artifacts.c.run_id == run_id)
    if wanted is not None:
        query = query.where(artifacts.c.concept_id.in_(wanted))
    steps: dict[str, set[str]] = defaultdict(set)
    for concept_id, step in await database.read(lambda connection: connection.execute(query)):
        steps[concept_id].add(step)
    return {concept_id: frozenset(made) for concept_id, made in steps.items()}


async def read_artifacts(
    database: Database, run_id: str, *, concept_id: str | None, step: str | None
) -> Sequence[Artifact]:
    """See ``Store.artifacts``; concepts come in the roadmap's order."""
    query = (
        select(artifacts)
        .join(
            concepts,
            (concepts.c.run_id == artifacts.c.run_id)
            & (concepts.c.concept_id == artifacts.c.concept_id),
        )
        .where(artifacts.c.run_id == run_id)
        .order_by(concepts.c.position, artifacts.c.created_at, artifacts.c.step)
    )
    if concept_id is not None:
        query = query.where(artifacts.c.concept_id == concept_id)
    if step is not None:
        query = query.where(artifacts.c.step == step)
    return [
        Artifact(
            concept_id=row.concept_id,
            step=row.step,
            content=row.content,
            model=row.model,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
            cost=row.cost,
            seconds=row.seconds,
            attempts=row.attempts,
            created_at=row.created_at,
        )
        for row in await database.read(lambda connection: connection.execute(query))
    ]


async def totals(database: Database, run_id: str) -> tuple[int, int, float | None]:
    """See ``Store.totals``."""
    query = select(
        func.coalesce(func.sum(artifacts.c.prompt_tokens), 0),
        func.coalesce(func.sum(artifacts.c.completion_tokens), 0),
        func.sum(artifacts.c.cost),
    ).where(artifacts.c.run_id == run_id)
    row = (await database.read(lambda connection: connection.execute(query))).one()
    return int(row[0]), int(row[1]), row[2]
