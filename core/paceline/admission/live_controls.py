"""The controls that this process knows, and the gate that they close.

The heartbeat updates them. Strategies read changed limits here, and every admission passes the
gate: the calls of a paused model or resource wait, and so does everything if everything is paused.
A run of a paused tenant is paused instead, so that it does not occupy a worker.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from paceline.contracts.admission.ledger import Quota
from paceline.contracts.admission.work import Work
from paceline.contracts.controls import Controls, Pause
from paceline.errors import RunPaused

#: The fields of a quota by the names of their settings.
FIELDS: Mapping[str, str] = {
    "concurrency": "concurrency",
    "requests_per_minute": "requests",
    "tokens_per_minute": "tokens",
}


class LiveControls:
    """The newest controls that this process has read."""

    def __init__(self) -> None:
        self.now = Controls()
        self._changed: asyncio.Future[None] | None = None

    def update(self, controls: Controls) -> None:
        """Apply controls from the store."""
        self.now = controls
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)

    async def until_allowed(self, work: Work, key: str = "") -> None:
        """Wait until no pause keeps this work from starting.

        Args:
            work: the work.
            key: the model or resource that it calls; empty if it calls none yet.

        Raises:
            RunPaused: the tenant of the run is paused.
        """
        while (pause := self.pause_of(work, key)) is not None:
            if pause.target.scope == "tenant":
                raise held(pause)
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)

    def pause_of(self, work: Work, key: str = "") -> Pause | None:
        """The pause that keeps this work from starting; ``None`` if it may start."""
        if not self.now.pauses:
            return None
        return self.now.pause_of_run(work.tenant) or (self.now.pause_of_key(key) if key else None)

    def quota(
        self, limit: str, quota: Quota, *, key: str = "", fields: Mapping[str, str] = FIELDS
    ) -> Quota:
        """A quota of the settings with the numbers that were changed since.

        Args:
            limit: ``global``, or ``resource:NAME``.
            quota: the quota by the settings, or by a change for all models.
            key: the model; empty for a change that applies to all models.
            fields: fields of the quota by the names of their settings.
        """
        changed = self.now.limit(limit, key)
        if changed is None:
            return quota
        numbers: dict[str, int | None] = {
            "concurrency": quota.concurrency,
            "requests": quota.requests,
            "tokens": quota.tokens,
        }
        numbers |= {fields[name]: value for name, value in changed.values.items() if name in fields}
        return replace(
            quota,
            concurrency=numbers["concurrency"],
            requests=numbers["requests"],
            tokens=numbers["tokens"],
            version=max(quota.version, changed.version),
        )


def held(pause: Pause) -> RunPaused:
    """The error that pauses the run of a paused tenant."""
    return RunPaused(pause.describe(), held=True)
