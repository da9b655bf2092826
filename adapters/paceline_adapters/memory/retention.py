"""Purges of the memory store."""

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import replace

from paceline.contracts.storage.records import ENDED
from paceline.contracts.storage.retention import PURGED, PurgeableRun, Purged
from paceline.contracts.storage.rules import run_in_work_error, run_not_found_error

from paceline_adapters.memory.outbox import MemoryOutbox
from paceline_adapters.memory.rows import Row


class MemoryRetention(MemoryOutbox, ABC):
    """The part of the memory store that deletes runs, each in one step."""

    _running: dict[str, Row]
    _hidden: dict[str, Row]
    _clock: Callable[[], float]

    async def purgeable(
        self,
        *,
        tenants: Sequence[str] = (),
        older_than: float | None = None,
        limit: int = 100,
        after: PurgeableRun | None = None,
    ) -> Sequence[PurgeableRun]:
        """List runs that may be purged, oldest first."""
        rows = [
            row
            for row in self._rows.values()
            if (not tenants or row.share.tenant in tenants)
            and not self._held(row)
            and (older_than is None or self._ended_before(row, older_than))
        ]
        if older_than is not None:
            rows.sort(key=lambda row: (row.finished_at or row.created_at, row.run_id))
        hidden = [
            row for row in self._hidden.values() if not tenants or row.share.tenant in tenants
        ]
        found = [
            PurgeableRun(
                run_id=row.run_id,
                roadmap_id=row.roadmap.roadmap_id,
                tenant=row.share.tenant,
                status="cancelled" if row.run_id in self._hidden else row.status,
                finished_at=row.finished_at,
                artifacts=len(row.artifacts),
                interrupted=row.run_id in self._hidden,
            )
            for row in hidden + rows
        ]
        if after is not None:
            places = [one.run_id for one in found]
            if after.run_id in places:
                found = found[places.index(after.run_id) + 1 :]
        return found[:limit]

    async def hide(
        self, run_id: str, *, tenants: Sequence[str] = (), older_than: float | None = None
    ) -> None:
        """Begin the purge of a run."""
        hidden = self._hidden.get(run_id)
        row = self._row(run_id) if hidden is None else hidden
        if tenants and row.share.tenant not in tenants:
            raise run_not_found_error(run_id)
        if hidden is not None:
            return
        if older_than is not None and not self._ended_before(row, older_than):
            raise run_not_found_error(run_id)
        if self._held(row):
            raise run_in_work_error(row.as_run(self._clock()))
        self._queues.drop(row)
        self._running.pop(run_id, None)
        self._hidden[run_id] = self._rows.pop(run_id)
        self._forget_newest(row)
        self._submissions = {key: one for key, one in self._submissions.items() if one is not row}

    async def purge(self, run_id: str) -> Purged:
        """Delete a hidden run."""
        row = self._hidden.pop(run_id, None)
        if row is None:
            return Purged(run_id=run_id)
        deliveries = [
            key for key, one in self._outbox.rows.items() if one.delivery.run_id == run_id
        ]
        for key in deliveries:
            del self._outbox.rows[key]
        for other in self._rows.values():
            _forget_origin(other, run_id)
        return Purged(
            run_id=run_id,
            artifacts=len(row.artifacts),
            versions=sum(map(len, row.past.values())),
            journal=sum(map(len, row.journal.values())),
            deliveries=len(deliveries),
        )

    def _held(self, row: Row) -> bool:
        return row.status == "running" and row.lease_until >= self._clock()

    def _ended_before(self, row: Row, seconds: float) -> bool:
        if row.status not in ENDED or row.finished_at is None:
            return False
        return (self._now() - row.finished_at).total_seconds() > seconds

    def _forget_newest(self, row: Row) -> None:
        """Let the run before this one be the newest of its roadmap and tenant."""
        for place, newest in list(self._newest.items()):
            if newest is not row:
                continue
            del self._newest[place]
            for other in self._rows.values():
                if self._place(other) == place:
                    self._newest[place] = other


def _forget_origin(row: Row, run_id: str) -> None:
    for place, one in row.artifacts.items():
        if one.adopted_from == run_id:
            row.artifacts[place] = replace(one, adopted_from=PURGED)
    for versions in row.past.values():
        versions[:] = [
            replace(one, adopted_from=PURGED) if one.adopted_from == run_id else one
            for one in versions
        ]
