"""Estimates of when runs end, read once in some seconds for all clients of a tenant."""

import asyncio
from collections.abc import Mapping

from paceline.client.cluster_status import MAX_RUNS
from paceline.planning.estimator import FRESH

from paceline_adapters.web.auth import Caller
from paceline_adapters.web.backend import Backend

#: Maximum number of callers to keep estimates for.
_KEPT = 1000


class RunEtas:
    """The running runs that a caller sees, with the seconds until each one ends."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._read: dict[str | None, tuple[float, Mapping[str, float]]] = {}
        self._reading: dict[str | None, asyncio.Task[Mapping[str, float]]] = {}

    async def seen_by(self, caller: Caller) -> Mapping[str, float]:
        """Seconds until each running run ends, if that is known, by run id.

        Raises:
            PartUnavailable: the store cannot be reached.
        """
        loop, tenant = asyncio.get_running_loop(), caller.seen_tenant
        until, found = self._read.get(tenant, (0.0, {}))
        if loop.time() < until:
            return found
        if tenant not in self._reading:
            self._reading[tenant] = loop.create_task(self._look(caller))
            self._reading[tenant].add_done_callback(lambda _: self._reading.pop(tenant, None))
        return await asyncio.shield(self._reading[tenant])

    async def _look(self, caller: Caller) -> Mapping[str, float]:
        client = caller.client(self._backend.client)
        runs = await client.runs(status=("running",), limit=MAX_RUNS)
        found = await self._backend.estimator.seconds_left(runs)
        rounded = {run_id: round(left, 1) for run_id, left in found.items()}
        if len(self._read) >= _KEPT:
            self._read.clear()
        until = asyncio.get_running_loop().time() + FRESH
        self._read[caller.seen_tenant] = until, rounded
        return rounded
