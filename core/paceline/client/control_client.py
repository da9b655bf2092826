"""The part of the client that pauses work, changes limits, drains workers, and reads the log."""

import getpass
from abc import ABC
from collections.abc import Sequence

from paceline.client.tenant_scope import TenantScope
from paceline.contracts.controls import (
    MAX_ACTOR,
    MAX_REASON,
    AuditEntry,
    Controls,
    PauseTarget,
    checked_text,
)
from paceline.contracts.events import EventBus
from paceline.contracts.share import DEFAULT_TENANT, stored_names
from paceline.contracts.storage.records import Run
from paceline.contracts.storage.store import Store
from paceline.errors import NotAllowed
from paceline.generation.parts import ClientParts
from paceline.runtime.announcements import announce


class ControlClient(ABC):
    """Changes how workers behave while they run; see ``Client``.

    Each change has a line in the audit log. ``by`` names the person or program that asked; it is
    the user of this process if it is ``None``. A client of a tenant may pause and resume its own
    tenant only.
    """

    _parts: ClientParts
    _scope: TenantScope
    store: Store
    bus: EventBus

    async def pause_work(
        self, target: PauseTarget | str, *, reason: str = "", by: str | None = None
    ) -> Controls:
        """Pause everything, a tenant, or the calls of a model or resource, until it is resumed.

        Workers start no new call of the target within about 2 s of this call; within a second if
        they share Redis. Calls in flight end and are saved. Runs of a paused tenant are paused and
        leave their worker. Everything else waits where it is.

        Args:
            target: what to pause: ``everything``, ``tenant:NAME``, ``key:openai:gpt-4o`` or
                ``key:resource:NAME``.
            reason: why, in a few words; it is shown while the target is paused.
            by: who asks.

        Returns:
            All controls after the change.

        Raises:
            NotAllowed: a client of a tenant names something else than its tenant.
            UsageError: the target or a text is not allowed.
            PartUnavailable: the store cannot be reached.
        """
        target = self._target(target)
        entry = self._entry("pause", target, checked_text("reason", reason, MAX_REASON), by)
        controls = await self.store.set_pause(target, paused=True, entry=entry)
        await announce(self.bus)
        return controls

    async def resume_work(self, target: PauseTarget | str, *, by: str | None = None) -> Controls:
        """Lift a pause of ``pause_work``; nothing happens if the target is not paused.

        Raises as ``pause_work``.
        """
        target = self._target(target)
        entry = self._entry("resume", target, "", by)
        controls = await self.store.set_pause(target, paused=False, entry=entry)
        await announce(self.bus)
        return controls

    async def controls(self) -> Controls:
        """What is paused, and which limits were changed.

        A client of a tenant sees no pauses of other tenants.

        Raises:
            PartUnavailable: the store cannot be reached.
        """
        controls = await self.store.controls()
        if self._scope.tenant is None:
            return controls
        visible = [
            pause
            for pause in controls.pauses
            if pause.target.scope != "tenant"
            or stored_names(pause.target.name) == self._scope.names
        ]
        return Controls(version=controls.version, pauses=tuple(visible), limits=controls.limits)

    async def audit_log(
        self, *, limit: int = 100, before: int | None = None
    ) -> Sequence[AuditEntry]:
        """Who changed what, and when, newest first.

        A client of a tenant sees the lines that concern its tenant.

        Args:
            limit: maximum number of lines.
            before: only lines with a smaller number, which is the last one of the previous page.

        Raises:
            PartUnavailable: the store cannot be reached.
        """
        tenants = () if self._scope.tenant is None else (self._scope.tenant or DEFAULT_TENANT,)
        return await self.store.audit_log(tenants=tenants, limit=limit, before=before)

    def _target(self, target: PauseTarget | str) -> PauseTarget:
        if isinstance(target, str):
            target = PauseTarget.parse(target)
        own = self._scope.tenant
        if own is not None and (
            target.scope != "tenant" or stored_names(target.name) != self._scope.names
        ):
            raise NotAllowed(f"a client of tenant {own} may pause and resume that tenant only")
        return target

    def _for_operators(self, what: str) -> None:
        if self._scope.tenant is not None:
            raise NotAllowed(f"a client of a tenant may not {what}")

    def _entry(self, action: str, subject: object, detail: str, by: str | None) -> AuditEntry:
        tenant = ""
        if isinstance(subject, PauseTarget) and subject.scope == "tenant":
            tenant = subject.name
        return AuditEntry(
            by=_actor(by), action=action, subject=str(subject), detail=detail, tenant=tenant
        )

    async def _steered(self, action: str, run: Run, detail: str, by: str | None) -> None:
        """Write a line about a run, and make its worker look."""
        entry = AuditEntry(
            by=_actor(by),
            action=action,
            subject=f"run {run.run_id}",
            detail=detail[:MAX_REASON],
            tenant=run.share.tenant or DEFAULT_TENANT,
        )
        await self.store.add_audit(entry)
        await announce(self.bus)


def _actor(by: str | None) -> str:
    if by is not None:
        return checked_text("by", by, MAX_ACTOR)
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the user of a container may have no name
        return ""
