"""Controls of the memory store: pauses, changed limits, drained workers, held runs, audit log."""

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from paceline import Claim, Store, UsageError
from paceline.contracts.controls import (
    MAX_CONTROLS,
    AuditEntry,
    Controls,
    LimitOverride,
    Pause,
    PauseTarget,
    time_version,
)
from paceline.contracts.share import stored_names
from paceline.contracts.storage.records import RunStatus
from paceline.contracts.storage.rules import requested_status

from paceline_adapters.memory.budgets import MemoryBudgets
from paceline_adapters.memory.rows import Row


class MemoryControls(MemoryBudgets, Store, ABC):
    """The part of the memory store that keeps controls."""

    _release: Callable[[Row, RunStatus, str | None], None]

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._pauses: dict[PauseTarget, Pause] = {}
        self._limits: dict[tuple[str, str], LimitOverride] = {}
        self._audit: list[AuditEntry] = []
        self._draining: set[str] = set()

    async def controls(self) -> Controls:
        """Return all controls."""
        return Controls(
            version=self._audit[-1].number if self._audit else 0,
            pauses=tuple(self._pauses.values()),
            limits=tuple(self._limits.values()),
        )

    async def set_pause(self, target: PauseTarget, *, paused: bool, entry: AuditEntry) -> Controls:
        """Pause a target, or lift its pause."""
        if paused:
            self._check_room(target not in self._pauses)
            written = self._write(entry)
            self._pauses[target] = Pause(
                target=target,
                reason=entry.detail,
                by=entry.by,
                at=written.at,
                version=written.number,
            )
        elif self._pauses.pop(target, None) is not None:
            self._write(entry)
        return await self.controls()

    async def set_limit(
        self, limit: str, key: str, values: Mapping[str, int] | None, *, entry: AuditEntry
    ) -> LimitOverride:
        """Add numbers to those of a limit, or remove all."""
        before = self._limits.get((limit, key))
        self._check_room(before is None)
        written = self._write(entry)
        kept = dict[str, int]() if before is None or values is None else before.values
        changed = self._limits[limit, key] = LimitOverride(
            limit=limit,
            key=key,
            values={**kept, **(values or {})},
            by=entry.by,
            at=written.at,
            version=written.number,
        )
        return changed

    def _check_room(self, is_new: bool) -> None:
        if is_new and len(self._pauses) + len(self._limits) >= MAX_CONTROLS:
            raise UsageError(f"there are {MAX_CONTROLS} pauses and changed limits: lift some first")

    async def request_drain(self, worker_id: str, *, entry: AuditEntry) -> bool:
        """Ask a worker to drain."""
        if worker_id not in self._workers:
            return False
        self._draining.add(worker_id)
        self._write(entry)
        return True

    async def add_audit(self, entry: AuditEntry) -> None:
        """Add a line to the log."""
        self._write(entry)

    def _write(self, entry: AuditEntry) -> AuditEntry:
        last = self._audit[-1].number if self._audit else 0
        written = replace(entry, number=max(last + 1, time_version()), at=self._now())
        self._audit.append(written)
        return written

    async def audit_log(
        self, *, tenants: Sequence[str] = (), limit: int = 100, before: int | None = None
    ) -> Sequence[AuditEntry]:
        """List lines of the log, newest first."""
        found = [
            one
            for one in reversed(self._audit)
            if (not tenants or one.tenant in tenants) and (before is None or one.number < before)
        ]
        return found[:limit]

    async def pause_held(self, claim: Claim, reason: str) -> RunStatus | None:
        """Pause the run of a claim, or cancel or pause it as was requested."""
        row = self._rows.get(claim.run_id)
        if row is None or not row.owned_by(claim):
            return None
        status, why = requested_status(row.pause_requested, cancel=row.cancel_requested)
        held = status == "queued"
        row.takeovers = 0
        self._release(row, "paused" if held else status, reason if held else why)
        row.held = held
        return "paused" if held else status

    async def resume_held(self, executor: str, *, limit: int = 100) -> Sequence[str]:
        """Queue runs of tenants again that are no longer paused."""
        still = {
            stored
            for target in self._pauses
            if target.scope == "tenant"
            for stored in stored_names(target.name)
        }
        rows = [
            row
            for row in self._rows.values()
            if row.held and row.executor == executor and row.share.tenant not in still
        ][:limit]
        for row in rows:
            self._release(row, "queued", None)
        return [row.run_id for row in rows]
