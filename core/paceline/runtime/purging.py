"""Deleting runs completely: from the store, the event bus and the executor's queue."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from paceline.contracts.events import EventBus
from paceline.contracts.executor import Executor
from paceline.contracts.storage.retention import Purged
from paceline.contracts.storage.store import Store
from paceline.errors import RunInWork, RunNotFound

#: Number of runs that are hidden and deleted together.
PAGE = 100


@dataclass(frozen=True, slots=True)
class Purger:
    """Deletes runs.

    A run is hidden first, then forgotten by the bus and the queue, and then deleted. If this is
    interrupted at any point, the next purge continues it, because a hidden run stays listed.
    """

    store: Store
    bus: EventBus
    executor: Executor

    async def purge(self, run_id: str, *, tenants: Sequence[str] = ()) -> Purged:
        """Delete one run, of these tenants if they are given.

        Raises:
            RunNotFound: there is no such run.
            RunInWork: it is running.
            PartUnavailable: a part cannot be reached. The purge can be continued.
        """
        await self.store.hide(run_id, tenants=tenants)
        await self._forget([run_id])
        return await self.store.purge(run_id)

    async def purge_page(
        self, *, tenants: Sequence[str] = (), older_than: float | None = None
    ) -> AsyncIterator[Purged]:
        """Delete up to ``PAGE`` runs, oldest first; see ``RetentionStore.purgeable``.

        A run that was resumed meanwhile is left out.
        """
        hidden: list[str] = []
        listed = await self.store.purgeable(tenants=tenants, older_than=older_than, limit=PAGE)
        for run in listed:
            try:
                await self.store.hide(run.run_id, tenants=tenants, older_than=older_than)
            except (RunNotFound, RunInWork):
                continue
            hidden.append(run.run_id)
        if hidden:
            await self._forget(hidden)
        for run_id in hidden:
            yield await self.store.purge(run_id)

    async def _forget(self, run_ids: Sequence[str]) -> None:
        await self.executor.forget(run_ids)
        await self.bus.forget(run_ids)
