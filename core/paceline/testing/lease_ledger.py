"""A shared ledger within one process, on the event loop's clock, for tests of dying workers."""

import asyncio
from collections.abc import Mapping, Sequence

from paceline.admission.in_process import InProcessLedger
from paceline.contracts.admission.ledger import (
    Grant,
    Lease,
    LeaseRelease,
    LeaseRequest,
    Ledger,
    Quota,
    SharedCounters,
)


class LeaseLedger(InProcessLedger):
    """A ledger for several workers in one process. Leases expire unless they are renewed.

    Args:
        lease_seconds: time after which a lease expires, by the event loop's clock.

    Attributes:
        reply_delay: seconds until the reply to a sync arrives.
    """

    shared = True

    def __init__(self, *, lease_seconds: float = 30.0) -> None:
        super().__init__(lease_seconds=lease_seconds, expires=True)
        self.reply_delay = 0.0

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
        grant = await super().sync(
            limit, quota=quota, holder=holder, requests=requests, releases=releases
        )
        await asyncio.sleep(self.reply_delay)
        return grant


class LedgerConnection(Ledger):
    """One worker's connection to a shared ledger. The test can cut it, as if the worker died."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.shared = ledger.shared
        self._cut = False

    def cut(self) -> None:
        """Let all further calls wait for ever."""
        self._cut = True

    async def sync(
        self,
        limit: str,
        *,
        quota: Quota,
        holder: str,
        requests: Sequence[LeaseRequest] = (),
        releases: Sequence[LeaseRelease] = (),
    ) -> Grant:
        """Call the ledger, unless the connection is cut."""
        await self._connected()
        return await self._ledger.sync(
            limit, quota=quota, holder=holder, requests=requests, releases=releases
        )

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Call the ledger, unless the connection is cut."""
        await self._connected()
        return await self._ledger.renew(limit, holder=holder, leases=leases)

    async def wait_for_grants(
        self, limit: str, *, holder: str, seconds: float
    ) -> tuple[Lease, ...]:
        """Call the ledger, unless the connection is cut."""
        await self._connected()
        leases = await self._ledger.wait_for_grants(limit, holder=holder, seconds=seconds)
        await self._connected()
        return leases

    async def held(self, limit: str) -> Mapping[str, int]:
        """Call the ledger, unless the connection is cut."""
        await self._connected()
        return await self._ledger.held(limit)

    async def add_counts(self, limit: str, counts: Mapping[str, float]) -> SharedCounters:
        """Call the ledger, unless the connection is cut."""
        await self._connected()
        return await self._ledger.add_counts(limit, counts)

    async def commit_decision(self, limit: str, *, version: int, state: str) -> bool:
        """Call the ledger, unless the connection is cut."""
        await self._connected()
        return await self._ledger.commit_decision(limit, version=version, state=state)

    @property
    def lease_seconds(self) -> float:
        """Time after which a lease expires unless it is renewed."""
        return self._ledger.lease_seconds

    @property
    def confirm_seconds(self) -> float:
        """Time within which a holder must confirm leases from ``wait_for_grants``."""
        return self._ledger.confirm_seconds

    async def _connected(self) -> None:
        if self._cut:
            await asyncio.get_running_loop().create_future()
