"""Controls in SQL: pauses, changed limits, drained workers, held runs, and the audit log."""

from abc import ABC
from collections.abc import Mapping, Sequence

from paceline import Claim
from paceline.contracts.controls import AuditEntry, Controls, LimitOverride, PauseTarget
from paceline.contracts.share import stored_names
from paceline.contracts.storage.controls import ControlStore
from paceline.contracts.storage.outbox import OutboxStore
from paceline.contracts.storage.records import RunStatus
from paceline.contracts.storage.rules import requested_status
from sqlalchemy import delete, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import seconds_since
from paceline_adapters.sql.control_rows import (
    audit_entry,
    limit_name,
    limit_of,
    next_version,
    pause_name,
    put_control,
    read_controls,
)
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.ownership import locked_run, owns, release
from paceline_adapters.sql.run_rows import seconds_now
from paceline_adapters.sql.tables import control_log, controls, runs, workers

#: Seconds since its last beat after which a worker is not asked to drain.
_SILENT = 60.0


class SqlControls(OutboxStore, ControlStore, ABC):
    """The controls of an SQL store."""

    _database: Database

    async def controls(self) -> Controls:
        """Return all controls."""
        return await self._database.read(read_controls)

    async def set_pause(self, target: PauseTarget, *, paused: bool, entry: AuditEntry) -> Controls:
        """Pause a target, or lift its pause."""
        name, dialect = pause_name(target), self._database.dialect

        async def change(connection: AsyncConnection) -> Controls:
            if paused:
                version = await next_version(connection, dialect, entry)
                body = {"scope": target.scope, "name": target.name, "reason": entry.detail}
                await put_control(connection, dialect, name, body, version=version, by=entry.by)
            else:
                lifted = await connection.execute(delete(controls).where(controls.c.name == name))
                if lifted.rowcount:
                    await next_version(connection, dialect, entry)
            return await read_controls(connection)

        return await self._database.write(change)

    async def set_limit(
        self, limit: str, key: str, values: Mapping[str, int] | None, *, entry: AuditEntry
    ) -> LimitOverride:
        """Add numbers to those of a limit, or remove all."""
        name, dialect = limit_name(limit, key), self._database.dialect
        this = select(controls).where(controls.c.name == name)

        async def change(connection: AsyncConnection) -> LimitOverride:
            version = await next_version(connection, dialect, entry)
            row = (await connection.execute(this)).one_or_none()
            none = dict[str, int]()
            before = none if row is None or values is None else limit_of(row).values
            body = {"limit": limit, "key": key, "values": {**before, **(values or {})}}
            await put_control(connection, dialect, name, body, version=version, by=entry.by)
            return limit_of((await connection.execute(this)).one())

        return await self._database.write(change)

    async def request_drain(self, worker_id: str, *, entry: AuditEntry) -> bool:
        """Ask a worker to drain."""

        async def change(connection: AsyncConnection) -> bool:
            asked = await connection.execute(
                update(workers)
                .where(workers.c.worker_id == worker_id, seconds_since(workers.c.beat_at) < _SILENT)
                .values(drain=True)
            )
            if asked.rowcount:
                await next_version(connection, self._database.dialect, entry)
            return bool(asked.rowcount)

        return await self._database.write(change)

    async def add_audit(self, entry: AuditEntry) -> None:
        """Add a line to the log."""

        async def change(connection: AsyncConnection) -> None:
            await next_version(connection, self._database.dialect, entry)

        await self._database.write(change)

    async def audit_log(
        self, *, tenants: Sequence[str] = (), limit: int = 100, before: int | None = None
    ) -> Sequence[AuditEntry]:
        """List lines of the log, newest first."""
        query = (
            select(control_log)
            .where(
                control_log.c.tenant.in_(tenants) if tenants else true(),
                true() if before is None else control_log.c.number < before,
            )
            .order_by(control_log.c.number.desc())
            .limit(limit)
        )
        rows = await self._database.read(lambda connection: connection.execute(query))
        return [audit_entry(row) for row in rows]

    async def pause_held(self, claim: Claim, reason: str) -> RunStatus | None:
        """Pause the run of a claim, or cancel or pause it as was requested."""

        async def change(connection: AsyncConnection) -> RunStatus | None:
            row = await locked_run(connection, claim.run_id)
            if row is None or not owns(row, claim):
                return None
            status, why = requested_status(row.pause_requested, cancel=row.cancel_requested)
            held = status == "queued"
            await release(
                connection,
                self.routes,
                claim.run_id,
                "paused" if held else status,
                reason if held else why,
                seconds=seconds_now,
                takeovers=0,
                held=held,
            )
            return "paused" if held else status

        released = await self._database.write(change, patience=self._database.long_patience)
        self._committed()
        return released

    async def resume_held(self, executor: str, *, limit: int = 100) -> Sequence[str]:
        """Queue runs of tenants again that are no longer paused."""

        async def change(connection: AsyncConnection) -> Sequence[str]:
            pauses = (await read_controls(connection)).pauses
            still = [
                stored
                for pause in pauses
                if pause.target.scope == "tenant"
                for stored in stored_names(pause.target.name)
            ]
            ids = await connection.scalars(
                select(runs.c.run_id)
                .where(
                    runs.c.held,
                    runs.c.executor == executor,
                    runs.c.status == "paused",
                    runs.c.tenant.not_in(still),
                )
                .order_by(runs.c.run_id)
                .limit(limit)
                .with_for_update(skip_locked=True, key_share=True)
            )
            queued = await connection.scalars(
                update(runs)
                .where(runs.c.run_id.in_(ids.all()))
                .values(status="queued", reason=None, held=False)
                .returning(runs.c.run_id)
            )
            return sorted(queued.all())

        any_held = select(runs.c.run_id).where(runs.c.held, runs.c.executor == executor).limit(1)
        # Most often no run is held: find that out without a transaction.
        if await self._database.read(lambda connection: connection.scalar(any_held)) is None:
            return []
        return await self._database.write(change)
