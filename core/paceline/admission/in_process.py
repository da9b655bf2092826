"""A ledger within one process: a lease table per limit, on the event loop's clock."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from paceline.admission.grant_inbox import GrantInbox
from paceline.admission.lease_table import LeaseTable
from paceline.admission.shared_counters import InProcessCounters
from paceline.contracts.admission.ledger import (
    Grant,
    Lease,
    LeaseRelease,
    LeaseRequest,
    Ledger,
    Quota,
    SharedCounters,
)


class InProcessLedger(Ledger):
    """Leases of named limits within this process.

    Args:
        lease_seconds: time after which a lease expires unless it is renewed.
        expires: whether leases expire at all.
    """

    def __init__(self, *, lease_seconds: float, expires: bool) -> None:
        self._lease_seconds = lease_seconds
        self._expires = expires
        self._tables: dict[str, LeaseTable] = {}
        self._counters: dict[str, InProcessCounters] = {}
        self._inboxes: defaultdict[tuple[str, str], GrantInbox] = defaultdict(GrantInbox)

    async def sync(
        self,
        limit: str,
        *,
        quota: Quota,
        holder: str,
        requests: Sequence[LeaseRequest] = (),
        releases: Sequence[LeaseRelease] = (),
    ) -> Grant:
        """Release leases and request new ones, in one step."""
        inbox = self._inboxes[limit, holder]
        confirmed = inbox.unconfirmed()
        result = self._table(limit).sync(
            self._now_ms(),
            quota=quota,
            holder=holder,
            requests=requests,
            releases=releases,
            confirmed=confirmed,
        )
        for other, leases in result.notifications.items():
            self._inboxes[limit, other].notify(leases)
        if result.wake is not None:
            self._inboxes[limit, result.wake].notify(())
        retry_in = result.retry_in
        return Grant(
            leases=inbox.merge_reply(confirmed, result.leases, result.last_number),
            retry_in=None if retry_in is None else retry_in / 1000,
            reason=result.reason,
            use=result.use,
            unknown_holder=result.unknown_holder,
        )

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Extend leases, and return those that had expired."""
        return self._table(limit).renew(self._now_ms(), holder=holder, leases=leases)

    async def wait_for_grants(
        self, limit: str, *, holder: str, seconds: float
    ) -> tuple[Lease, ...]:
        """Wait for leases granted by other holders' syncs, or for ``seconds``."""
        return await self._inboxes[limit, holder].wait(seconds)

    async def held(self, limit: str) -> Mapping[str, int]:
        """The number of leases of each holder."""
        return self._table(limit).held(self._now_ms())

    async def add_counts(self, limit: str, counts: Mapping[str, float]) -> SharedCounters:
        """Add to the shared sums, and return them."""
        return self._counters_of(limit).add_counts(self.now(), counts)

    async def commit_decision(self, limit: str, *, version: int, state: str) -> bool:
        """Write a decision, unless another holder's came first."""
        return self._counters_of(limit).commit_decision(self.now(), version=version, state=state)

    @property
    def lease_seconds(self) -> float:
        """Time after which a lease expires unless it is renewed."""
        return self._lease_seconds

    @property
    def confirm_seconds(self) -> float:
        """Time within which a holder must confirm leases from ``wait_for_grants``."""
        return super().confirm_seconds if self._expires else math.inf

    def now(self) -> float:
        """Time of the ledger's clock in seconds; it only rises."""
        return asyncio.get_running_loop().time()

    def _now_ms(self) -> int:
        # Rounded, because whole milliseconds are rarely exact in seconds.
        return round(self.now() * 1000)

    def _counters_of(self, limit: str) -> InProcessCounters:
        counters = self._counters.get(limit)
        if counters is None:
            counters = self._counters[limit] = InProcessCounters(self.now())
        return counters

    def _table(self, limit: str) -> LeaseTable:
        table = self._tables.get(limit)
        if table is None:
            if self._expires:
                confirm = round(self.confirm_seconds * 1000)
                table = LeaseTable(lease=round(self._lease_seconds * 1000), confirm=confirm)
            else:
                table = LeaseTable(lease=None, confirm=0)
            self._tables[limit] = table
        return table
