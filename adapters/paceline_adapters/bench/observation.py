"""What the host observed in a round: received events, saved artifacts and its connection pools."""

from collections.abc import Iterable, Mapping, Sequence

from paceline import Event, Run, Store
from paceline.contracts.admission.wait_histogram import since, total
from paceline.contracts.storage.records import Figures
from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReceivedEvent(_Part):
    """One progress event, as a subscriber received it.

    Attributes:
        at: time of receipt, seconds since 1970.
        type: as in ``Event``, like the other fields.
        run_id: the event's ``task_id``.
    """

    at: float
    type: str
    run_id: str
    concept_id: str | None
    step: str | None
    status: str

    @classmethod
    def of(cls, event: Event, at: float) -> "ReceivedEvent":
        """An event that was received at this time."""
        return cls(
            at=at,
            type=event.type,
            run_id=event.task_id,
            concept_id=event.concept_id,
            step=event.step,
            status=event.status,
        )


class PoolFigures(_Part):
    """Connection pools of all processes of a cell, added up.

    Attributes:
        waits: waits for a connection, as ``contracts.admission.wait_histogram`` counts them.
        timeouts: waits that timed out.
        busy: SQLite transactions that waited for another process's.
    """

    waits: Mapping[int, int]
    timeouts: int
    busy: int

    @classmethod
    def total(cls, figures: Iterable[Figures]) -> "PoolFigures":
        """Add up what processes report."""
        reports = list(figures)
        return cls(
            waits=dict(total(report.checkout_waits for report in reports)),
            timeouts=sum(report.checkout_timeouts for report in reports),
            busy=sum(report.busy_waits for report in reports),
        )

    def since(self, before: "PoolFigures") -> "PoolFigures":
        """What happened after ``before`` was taken."""
        return PoolFigures(
            waits=dict(since(self.waits, before.waits)),
            timeouts=self.timeouts - before.timeouts,
            busy=self.busy - before.busy,
        )


class SavedArtifact(_Part):
    """One artifact and when it was committed, seconds since 1970."""

    run_id: str
    concept_id: str
    step: str
    at: float


class HostObservation(_Part):
    """What the host of one round observed.

    Attributes:
        completed: number of concepts with every artifact.
        events: received events, in the order of receipt.
        messages: when a client of all runs at the level ``roadmap`` got a message, seconds since
            1970.
        pools: figures of the connection pools while the round was measured.
        roadmaps: ids of the roadmaps, by the id of their runs.
    """

    completed: int
    events: Sequence[ReceivedEvent]
    messages: Sequence[float]
    artifacts: Sequence[SavedArtifact]
    pools: PoolFigures
    roadmaps: Mapping[str, str]

    @classmethod
    async def collect(
        cls,
        store: Store,
        runs: Sequence[Run],
        events: Sequence[tuple[float, Event]],
        messages: Sequence[float],
        pools: PoolFigures,
    ) -> "HostObservation":
        """Read from the store how the runs ended."""
        ended = [await store.run(run.run_id) for run in runs]
        artifacts = [
            SavedArtifact(
                run_id=run.run_id,
                concept_id=artifact.concept_id,
                step=artifact.step,
                at=artifact.created_at.timestamp(),
            )
            for run in runs
            for artifact in await store.artifacts(run.run_id)
            if artifact.created_at is not None
        ]
        return cls(
            completed=sum(run.completed for run in ended),
            # An event without an offset was made by the follower, not received from the bus.
            events=[ReceivedEvent.of(event, at) for at, event in events if event.offset],
            messages=messages,
            artifacts=artifacts,
            pools=pools,
            roadmaps={run.run_id: run.roadmap_id for run in runs},
        )
