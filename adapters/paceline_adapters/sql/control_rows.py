"""Rows of controls and of the audit log."""

import json
from collections.abc import Mapping

from paceline import UsageError
from paceline.contracts.controls import (
    MAX_CONTROLS,
    AuditEntry,
    Controls,
    LimitOverride,
    Pause,
    PauseTarget,
    time_version,
)
from sqlalchemy import case, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import now
from paceline_adapters.sql.insert import insert_into
from paceline_adapters.sql.tables import AnyRow, control_log, controls
from paceline_adapters.sql.url import Dialect

_VERSION = "version"


def pause_name(target: PauseTarget) -> str:
    """The name of the row of a pause."""
    return f"pause {target}"


def limit_name(limit: str, key: str) -> str:
    """The name of the row of a limit."""
    return f"limit {limit} {key}"


async def read_version(connection: AsyncConnection) -> int:
    """The version of the newest change."""
    query = select(controls.c.version).where(controls.c.name == _VERSION)
    return await connection.scalar(query) or 0


async def next_version(connection: AsyncConnection, dialect: Dialect, entry: AuditEntry) -> int:
    """Write a line of the log, and return its number. Other changes wait until the commit."""
    first, following = time_version(), controls.c.version + 1
    rising = case((following > first, following), else_=first)
    version = await connection.scalar(
        insert_into(controls, dialect)
        .values(name=_VERSION, body="", version=first, changed_by="", changed_at=now())
        .on_conflict_do_update(
            index_elements=["name"], set_={"version": rising, "changed_at": now()}
        )
        .returning(controls.c.version)
    )
    await connection.execute(
        insert(control_log).values(
            number=version,
            at=now(),
            changed_by=entry.by,
            action=entry.action,
            subject=entry.subject,
            detail=entry.detail,
            tenant=entry.tenant,
        )
    )
    return int(version or 0)


async def put_control(
    connection: AsyncConnection,
    dialect: Dialect,
    name: str,
    body: Mapping[str, object],
    *,
    version: int,
    by: str,
) -> None:
    """Add or replace a control, in a transaction that has called ``next_version``.

    Raises:
        UsageError: there are too many controls.
    """
    count = (
        select(func.count()).select_from(controls).where(controls.c.name.not_in([_VERSION, name]))
    )
    if (await connection.scalar(count) or 0) >= MAX_CONTROLS:
        raise UsageError(f"there are {MAX_CONTROLS} pauses and changed limits: lift some first")
    values = {"body": json.dumps(body), "version": version, "changed_by": by, "changed_at": now()}
    await connection.execute(
        insert_into(controls, dialect)
        .values(name=name, **values)
        .on_conflict_do_update(index_elements=["name"], set_=values)
    )


async def read_controls(connection: AsyncConnection) -> Controls:
    """Read all controls, in one statement."""
    rows = (await connection.execute(select(controls).order_by(controls.c.name))).all()
    version, pauses, limits = 0, list[Pause](), list[LimitOverride]()
    for row in rows:
        if row.name == _VERSION:
            version = row.version
        elif row.name.startswith("pause "):
            pauses.append(_pause(row))
        else:
            limits.append(limit_of(row))
    return Controls(version=version, pauses=tuple(pauses), limits=tuple(limits))


def _pause(row: AnyRow) -> Pause:
    body = json.loads(row.body)
    return Pause(
        target=PauseTarget(body["scope"], body["name"]),
        reason=body["reason"],
        by=row.changed_by,
        at=row.changed_at,
        version=row.version,
    )


def limit_of(row: AnyRow) -> LimitOverride:
    """The limit of a row."""
    body = json.loads(row.body)
    return LimitOverride(
        limit=body["limit"],
        key=body["key"],
        values=body["values"],
        by=row.changed_by,
        at=row.changed_at,
        version=row.version,
    )


def audit_entry(row: AnyRow) -> AuditEntry:
    """The entry of a row of the log."""
    return AuditEntry(
        number=row.number,
        at=row.at,
        by=row.changed_by,
        action=row.action,
        subject=row.subject,
        detail=row.detail,
        tenant=row.tenant,
    )
