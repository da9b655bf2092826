"""The part of the client that deletes runs."""

from abc import ABC
from collections.abc import AsyncIterator, Sequence

from paceline.client.tenant_scope import TenantScope
from paceline.contracts.events import EventBus
from paceline.contracts.executor import Executor
from paceline.contracts.storage.retention import PurgeableRun, Purged
from paceline.contracts.storage.store import Store
from paceline.errors import UsageError
from paceline.runtime.purging import PAGE, Purger


class PurgeClient(ABC):
    """Deletes runs completely; see ``Client``."""

    _scope: TenantScope
    store: Store
    executor: Executor
    bus: EventBus

    async def purge(self, run_id: str) -> Purged:
        """Delete a run with its artifacts, versions, journal, events and deliveries.

        A queued or paused run is deleted, too. If the purge is interrupted, the same call
        continues it. Followers of the run receive its end within seconds.

        Args:
            run_id: the run.

        Returns:
            What was deleted.

        Raises:
            RunNotFound: there is no such run.
            RunInWork: the run is running.
            PartUnavailable: a part cannot be reached.
        """
        return await self._purger().purge(run_id, tenants=self._scope.names)

    async def purgeable(
        self, *, tenant: str | None = None, older_than: float | None = None
    ) -> AsyncIterator[PurgeableRun]:
        """The runs that ``purge_all`` would delete, oldest first; nothing changes.

        Arguments and errors are those of ``purge_all``.
        """
        tenants, last = self._tenants(tenant, older_than), None
        while page := await self.store.purgeable(
            tenants=tenants, older_than=older_than, limit=PAGE, after=last
        ):
            for run in page:
                yield run
            last = page[-1]

    async def purge_all(
        self, *, tenant: str | None = None, older_than: float | None = None
    ) -> AsyncIterator[Purged]:
        """Delete runs, oldest first, as ``purge`` does; yields each one that is gone.

        Running runs stay. Purges that were interrupted before are completed first.

        Args:
            tenant: only runs of this tenant. A client of a tenant needs no name.
            older_than: only runs that ended more than this many seconds ago. If ``None``, also
                those that are queued or paused; then there must be a tenant.

        Raises:
            UsageError: neither a tenant nor an age is given, or it is another tenant than the
                client's.
            PartUnavailable: a part cannot be reached.
        """
        tenants = self._tenants(tenant, older_than)
        found = True
        while found:
            found = False
            async for purged in self._purger().purge_page(tenants=tenants, older_than=older_than):
                found = True
                yield purged

    def _tenants(self, tenant: str | None, older_than: float | None) -> Sequence[str]:
        own = self._scope.tenant
        if tenant is not None and own not in (None, tenant):
            raise UsageError(f"tenant must be {own!r} for a client of that tenant, got {tenant!r}")
        scope = self._scope if tenant is None else TenantScope(tenant)
        if scope.tenant is None and older_than is None:
            raise UsageError("tenant or older_than must be given: all runs would be deleted")
        return scope.names

    def _purger(self) -> Purger:
        return Purger(self.store, self.bus, self.executor)
