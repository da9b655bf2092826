"""What our host saw of a round: events as they reached it, artifacts, and its pools."""

from collections.abc import Iterable, Mapping, Sequence

from paceline import Event, Run, Store
from paceline.contracts.records import Figures
from paceline.contracts.wait_histogram import WaitHistogram, since, total
from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Heard(_Part):
    """One progress event, as a subscriber received it.

    Attributes:
        at: of receipt, seconds since 1970.
        type: as in ``Event``; so are the others.
        run_id: the event's ``task_id``.
    """

    at: float
    type: str
    run_id: str
    concept_id: str | None
    step: str | None
    status: str

    @classmethod
    def of(cls, event: Event, at: float) -> "Heard":
        """An event that was received at this moment."""
        return cls(
            at=at,
            type=event.type,
            run_id=event.task_id,
            concept_id=event.concept_id,
            step=event.step,
            status=event.status,
        )


class Pools(_Part):
    """Connection pools of all processes of a cell, added up.

    Attributes:
        waits: for a connection, as ``paceline.contracts.wait_histogram`` counts.
        timeouts: waits that were given up.
        busy: transactions that waited for another process's, on SQLite.
    """

    waits: Mapping[int, int]
    timeouts: int
    busy: int

    @classmethod
    def of(cls, figures: Iterable[Figures]) -> "Pools":
        """Add up what processes report."""
        found = list(figures)
        waits: WaitHistogram = total(one.checkout_waits for one in found)
        return cls(
            waits=dict(waits),
            timeouts=sum(one.checkout_timeouts for one in found),
            busy=sum(one.busy_waits for one in found),
        )

    def since(self, before: "Pools") -> "Pools":
        """What happened after ``before`` was taken."""
        return Pools(
            waits=dict(since(self.waits, before.waits)),
            timeouts=self.timeouts - before.timeouts,
            busy=self.busy - before.busy,
        )


class Saved(_Part):
    """One artifact: whose, and when it was committed, seconds since 1970."""

    run_id: str
    concept_id: str
    step: str
    at: float


class Seen(_Part):
    """What the host of one round saw.

    Attributes:
        statuses: of the runs, by run id.
        completed: concepts with every artifact.
        heard: events, in the order of their receipt.
        told: when a client of all runs at the level ``roadmap`` got a message, seconds since 1970.
        saved: artifacts.
        pools: while it was measured.
    """

    statuses: Mapping[str, str]
    completed: int
    heard: Sequence[Heard]
    told: Sequence[float]
    saved: Sequence[Saved]
    pools: Pools

    @classmethod
    async def gather(
        cls,
        store: Store,
        runs: Sequence[Run],
        heard: Sequence[tuple[float, Event]],
        told: Sequence[float],
        pools: Pools,
    ) -> "Seen":
        """Ask the store what came of the runs."""
        ended = [await store.run(run.run_id) for run in runs]
        saved = [
            Saved(
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
            statuses={run.run_id: run.status for run in ended},
            completed=sum(run.completed for run in ended),
            # An event without an offset is the follower's own word, not the bus's.
            heard=[Heard.of(event, at) for at, event in heard if event.offset],
            told=told,
            saved=saved,
            pools=pools,
        )
