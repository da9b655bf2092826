"""The outbox of the memory store."""

import secrets
from abc import ABC
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from paceline import Artifact, Delivery
from paceline.contracts.sink import artifact_delivery_id, run_delivery_id
from paceline.contracts.storage.outbox import (
    DeadLetter,
    Outgoing,
    Rejection,
    SinkBatch,
    SinkFigures,
    SinkOutage,
)

from paceline_adapters.memory.rows import Row
from paceline_adapters.memory.runs import MemoryRuns


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """One delivery to one sink."""

    sink: str
    delivery: Delivery
    committed_at: float
    due_at: float
    lease: str | None = None
    attempts: int = 0
    reason: str = ""
    dead: bool = False

    @property
    def artifact(self) -> tuple[str, str, str, str]:
        """Deliveries with the same value are delivered in the order of their numbers."""
        one = self.delivery
        return self.sink, one.run_id, one.concept_id, one.step


@dataclass(slots=True)
class _State:
    failures: int = 0
    down_since: float = 0.0
    retry_at: float = 0.0
    reason: str | None = None
    delivered: int = 0


@dataclass(slots=True)
class Outbox:
    """What waits, by sink and id, in the order of the commits."""

    rows: dict[tuple[str, str], _Waiting] = field(default_factory=dict[tuple[str, str], _Waiting])
    states: dict[str, _State] = field(default_factory=dict[str, _State])

    def of(self, sink: str | None) -> Iterator[_Waiting]:
        """The deliveries to a sink, or all."""
        return (row for row in self.rows.values() if sink in (None, row.sink))

    def due(self, sink: str, now: float) -> list[_Waiting]:
        """What a worker may deliver, longest due first: the first of each artifact."""
        heads: dict[tuple[str, str, str, str], _Waiting] = {}
        for row in self.of(sink):
            head = heads.get(row.artifact)
            if not row.dead and (head is None or row.delivery.number < head.delivery.number):
                heads[row.artifact] = row
        ready = [row for row in heads.values() if row.due_at <= now]
        return sorted(ready, key=lambda row: row.due_at)

    def leased(self, batch: SinkBatch) -> Iterator[_Waiting]:
        """The deliveries of a batch that no other worker has leased since."""
        for item in batch.items:
            row = self.rows.get((batch.sink, item.delivery.id))
            if row is not None and row.lease == batch.lease:
                yield row


class MemoryOutbox(MemoryRuns, ABC):
    """The part of the memory store that keeps deliveries."""

    _outbox: Outbox

    def _add_artifact(self, row: Row, artifact: Artifact) -> None:
        """Add a version that became current."""
        sinks = [route.sink for route in self.routes if route.takes_artifact(artifact.step)]
        if not sinks:
            return
        delivery = Delivery(
            id=artifact_delivery_id(row.run_id, *artifact.place, artifact.changes),
            kind="artifact",
            run_id=row.run_id,
            roadmap_id=row.roadmap.roadmap_id,
            roadmap_title=row.roadmap.title,
            tenant=row.share.tenant,
            number=artifact.changes,
            created_at=artifact.created_at or self._now(),
            prompt_tokens=artifact.prompt_tokens,
            completion_tokens=artifact.completion_tokens,
            cost=artifact.cost,
            concept_id=artifact.concept_id,
            step=artifact.step,
            version=artifact.version,
            content=artifact.content,
            model=artifact.model,
            instruction=artifact.instruction,
        )
        self._add(sinks, delivery)

    def _add_end(self, row: Row) -> None:
        """Count the end of a run, and add it."""
        row.ends += 1
        run = row.as_run(self._clock())
        delivery = Delivery(
            id=run_delivery_id(run.run_id, row.ends),
            kind="run",
            run_id=run.run_id,
            roadmap_id=run.roadmap_id,
            roadmap_title=run.title,
            tenant=run.share.tenant,
            number=row.ends,
            created_at=run.finished_at or self._now(),
            status=run.status,
            reason=run.reason,
            total=run.total,
            completed=run.completed,
            failed=run.failed,
        )
        self._add([route.sink for route in self.routes if route.takes_runs], delivery)

    def _add(self, sinks: Sequence[str], delivery: Delivery) -> None:
        now = self._clock()
        for sink in sinks:
            waiting = _Waiting(sink=sink, delivery=delivery, committed_at=now, due_at=now)
            self._outbox.rows[sink, delivery.id] = waiting
        if sinks:
            self._committed()

    async def claim_batch(self, sink: str, *, limit: int, lease: float) -> SinkBatch:
        """Take deliveries that are due."""
        now = self._clock()
        due = self._outbox.due(sink, now)
        if not due:
            return SinkBatch(sink=sink)
        state = self._outbox.states.setdefault(sink, _State())
        if state.failures:
            if state.retry_at > now:
                retry_in = state.retry_at - now
                return SinkBatch(sink=sink, failures=state.failures, retry_in=retry_in)
            state.retry_at = now + lease
            limit = 1
        token = secrets.token_hex(8)
        for row in due[:limit]:
            row.lease, row.due_at = token, now + lease
        items = [Outgoing(delivery=row.delivery, attempts=row.attempts) for row in due[:limit]]
        return SinkBatch(sink=sink, lease=token, items=items, failures=state.failures)

    async def settle(
        self,
        batch: SinkBatch,
        *,
        delivered: Collection[str] = (),
        rejected: Sequence[Rejection] = (),
        outage: SinkOutage | None = None,
    ) -> None:
        """End the lease of a batch."""
        now, refused = self._clock(), {one.id: one for one in rejected}
        state = self._outbox.states.setdefault(batch.sink, _State())
        for row in list(self._outbox.leased(batch)):
            one = refused.get(row.delivery.id)
            row.lease, row.due_at = None, now
            if row.delivery.id in delivered:
                del self._outbox.rows[row.sink, row.delivery.id]
                state.delivered += 1
            elif one is not None:
                row.attempts, row.reason = row.attempts + 1, one.reason
                row.dead, row.due_at = one.retry_in is None, now + (one.retry_in or 0.0)
        if outage is None:
            self._outbox.states[batch.sink] = _State(delivered=state.delivered)
        elif state.failures == batch.failures:
            state.down_since = state.down_since if state.failures else now
            state.failures += 1
            state.retry_at, state.reason = now + outage.retry_in, outage.reason

    async def sink_figures(self) -> Sequence[SinkFigures]:
        """Count what waits for each sink."""
        return [self._figures(route.sink) for route in self.routes]

    def _figures(self, sink: str) -> SinkFigures:
        now, state = self._clock(), self._outbox.states.get(sink, _State())
        waiting = [row for row in self._outbox.of(sink) if not row.dead]
        return SinkFigures(
            sink=sink,
            waiting=len(waiting),
            oldest=max((now - row.committed_at for row in waiting), default=0.0),
            dead=sum(row.dead for row in self._outbox.of(sink)),
            delivered=state.delivered,
            failures=state.failures,
            down_for=now - state.down_since if state.failures else 0.0,
            reason=state.reason,
            retry_in=max(0.0, state.retry_at - now) if state.failures else 0.0,
        )

    async def undelivered(
        self, *, sink: str | None = None, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """List dead letters, oldest first."""
        dead = [row for row in self._outbox.of(sink) if row.dead]
        return [
            DeadLetter(
                sink=row.sink,
                id=row.delivery.id,
                run_id=row.delivery.run_id,
                concept_id=row.delivery.concept_id,
                step=row.delivery.step,
                version=row.delivery.version,
                reason=row.reason,
            )
            for row in dead[:limit]
        ]

    async def retry_deliveries(self, *, sink: str | None = None, dead_only: bool = False) -> int:
        """Make dead letters due again."""
        now, revived = self._clock(), 0
        for row in self._outbox.of(sink):
            if row.dead:
                row.dead, row.attempts, row.due_at = False, 0, now
                revived += 1
            elif not dead_only and row.lease is None:
                row.due_at = min(row.due_at, now)
        if not dead_only:
            for name, state in self._outbox.states.items():
                if sink in (None, name):
                    self._outbox.states[name] = replace(state, retry_at=min(state.retry_at, now))
        return revived
