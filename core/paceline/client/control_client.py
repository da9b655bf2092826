"""The part of the client that pauses work, changes limits, drains workers, and reads the log."""

import getpass
from abc import ABC
from collections.abc import Mapping, Sequence

from paceline.client.limit_status import LimitStatus, checked_limit, limit_status
from paceline.client.tenant_scope import TenantScope
from paceline.contracts.controls import (
    MAX_ACTOR,
    MAX_KEY,
    MAX_REASON,
    AuditEntry,
    Controls,
    LimitOverride,
    PauseTarget,
    check_key,
    checked_text,
)
from paceline.contracts.events import EventBus
from paceline.contracts.share import DEFAULT_TENANT, stored_names
from paceline.contracts.storage.records import Run
from paceline.contracts.storage.store import Store
from paceline.errors import NotAllowed, UsageError
from paceline.generation.parts import ClientParts
from paceline.runtime.announcements import announce
from paceline.text import unknown


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
            by: name of the actor.

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

    async def set_limits(
        self, limit: str, values: Mapping[str, int], *, key: str = "", by: str | None = None
    ) -> LimitOverride:
        """Replace numbers of a limit over all workers, until they are reset.

        Each worker applies them with its next beat; no later than that, the ledger applies them
        to all workers. Numbers that are not named stay as they are.

        Args:
            limit: ``global``, or ``resource:NAME``.
            values: ``concurrency``, ``requests_per_minute`` and ``tokens_per_minute``, with the
                bounds of the settings.
            key: the model, as ``openai:gpt-4o``; all models without numbers of their own if empty.
            by: name of the actor.

        Returns:
            All numbers that replace settings of this limit and model now.

        Raises:
            NotAllowed: the client belongs to a tenant.
            UsageError: there is no such limit, or a number is not allowed.
            PartUnavailable: the store cannot be reached.
        """
        self._for_operators("change limits")
        if not values:
            raise UsageError("name at least one number, such as requests_per_minute=300")
        return await self._change_limit("set-limit", limit, key, values, by)

    async def reset_limits(
        self, limit: str, *, key: str = "", by: str | None = None
    ) -> LimitOverride:
        """Return to the numbers of the settings. Raises as ``set_limits``."""
        self._for_operators("change limits")
        return await self._change_limit("reset-limit", limit, key, None, by)

    async def _change_limit(
        self,
        action: str,
        limit: str,
        key: str,
        values: Mapping[str, int] | None,
        by: str | None,
    ) -> LimitOverride:
        if key:
            check_key(key)
        checked_limit(self._parts.settings, limit, key, values or {})
        words = ", ".join(f"{name}={value}" for name, value in (values or {}).items())
        entry = self._entry(action, f"{limit} {key}".strip(), words, by)
        changed = await self.store.set_limit(limit, key, values, entry=entry)
        await announce(self.bus)
        return changed

    async def limits(self) -> Sequence[LimitStatus]:
        """Each limit over all workers: settings, changes, use, and why calls wait.

        Raises:
            PartUnavailable: the store cannot be reached.
        """
        return limit_status(
            self._parts.settings, await self.store.controls(), await self.store.workers()
        )

    async def drain_worker(self, worker_id: str, *, by: str | None = None) -> None:
        """Ask a worker to drain: it starts no more calls, saves those in flight, and exits.

        Its unfinished runs are queued again, for other workers.

        Args:
            worker_id: id of the worker.
            by: name of the actor.

        Raises:
            NotAllowed: the client belongs to a tenant.
            UsageError: no worker with a recent beat has that id.
            PartUnavailable: the store cannot be reached.
        """
        self._for_operators("drain workers")
        entry = self._entry("drain", checked_text("worker", worker_id, MAX_KEY), "", by)
        if not await self.store.request_drain(worker_id, entry=entry):
            known = [worker.worker_id for worker in await self.store.workers()]
            raise UsageError(unknown(f"worker {worker_id!r}", worker_id, known))
        await announce(self.bus)

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
