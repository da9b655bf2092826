"""When the steps of a run waited, called and were saved, in SQL."""

from collections.abc import Sequence

from paceline.contracts.storage.timeline import StepTimes, open_step_times, phases_from_text
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.figures import decoded_steps
from paceline_adapters.sql.tables import artifacts, charges, runs, workers

_SAVED = (
    artifacts.c.concept_id,
    artifacts.c.step,
    artifacts.c.created_at,
    artifacts.c.seconds,
    artifacts.c.saving,
    artifacts.c.attempts,
    artifacts.c.version,
    artifacts.c.model,
    artifacts.c.adopted_from,
    artifacts.c.phases,
)
_UNSAVED = (
    charges.c.concept_id,
    charges.c.step,
    charges.c.charged_at,
    charges.c.seconds,
    charges.c.attempts,
    charges.c.phases,
)


async def read_timeline(
    connection: AsyncConnection, run_id: str, concepts: Sequence[str]
) -> Sequence[StepTimes]:
    """The times of the current artifacts of some concepts, and of what led to no artifact."""
    saved = await connection.execute(
        select(*_SAVED).where(
            artifacts.c.run_id == run_id, artifacts.c.concept_id.in_(list(concepts))
        )
    )
    times = [
        StepTimes(
            concept_id=row.concept_id,
            step=row.step,
            ended_at=row.created_at,
            seconds=row.seconds,
            saving=row.saving,
            attempts=row.attempts,
            version=row.version,
            model=row.model,
            adopted=row.adopted_from is not None,
            phases=phases_from_text(row.phases),
        )
        for row in saved
    ]
    unsaved = await connection.execute(
        select(*_UNSAVED).where(
            charges.c.run_id == run_id,
            charges.c.concept_id.in_(list(concepts)),
            charges.c.charged_at.is_not(None),
        )
    )
    times += [
        StepTimes(
            concept_id=row.concept_id,
            step=row.step,
            ended_at=row.charged_at,
            seconds=row.seconds,
            attempts=row.attempts,
            saved=False,
            version=0,
            phases=phases_from_text(row.phases),
        )
        for row in unsaved
    ]
    beats = await connection.execute(
        select(workers.c.open_steps, workers.c.beat_at)
        .join(runs, (runs.c.owner == workers.c.worker_id) & (runs.c.status == "running"))
        .where(runs.c.run_id == run_id)
    )
    wanted = set(concepts)
    times += [
        open_step_times(step, row.beat_at)
        for row in beats
        for step in decoded_steps(row.open_steps)
        if step.run_id == run_id and step.concept_id in wanted
    ]
    return sorted(times, key=lambda one: (one.ended_at, one.concept_id, one.step))
