"""A ledger in this process whose leases end by the loop's clock: for dying workers."""

import asyncio
from collections.abc import Mapping, Sequence

from paceline.admission.in_process import InProcessLedger
from paceline.contracts.ledger import Board, Grant, Lease, LeaseRelease, LeaseRequest, Ledger, Quota


class LeaseLedger(InProcessLedger):
    """What several workers share, in one process: leases end when their holder is silent.

    Args:
        lease_seconds: how long a lease lives without renewal, by the event loop's clock.

    Attributes:
        answer_takes: seconds until an answer arrives, in which anything may happen.
    """

    shared = True

    def __init__(self, *, lease_seconds: float = 30.0) -> None:
        super().__init__(lease_seconds=lease_seconds, expires=True)
        self.answer_takes = 0.0

    async def sync(
        self,
        limit: str,
        *,
        quota: Quota,
        holder: str,
        asks: Sequence[LeaseRequest] = (),
        settled: Sequence[LeaseRelease] = (),
    ) -> Grant:
        """Give back and ask, in one step."""
        grant = await super().sync(limit, quota=quota, holder=holder, asks=asks, settled=settled)
        await asyncio.sleep(self.answer_takes)
        return grant


class LedgerLine(Ledger):
    """One worker's line to a ledger, which is cut when the worker dies: it hears no more.

    Args:
        ledger: what the workers share.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.shared = ledger.shared
        self._cut = False

    def cut(self) -> None:
        """From now on every question goes unanswered, for ever."""
        self._cut = True

    async def sync(
        self,
        limit: str,
        *,
        quota: Quota,
        holder: str,
        asks: Sequence[LeaseRequest] = (),
        settled: Sequence[LeaseRelease] = (),
    ) -> Grant:
        """Ask the ledger, if the worker lives."""
        await self._alive()
        return await self._ledger.sync(
            limit, quota=quota, holder=holder, asks=asks, settled=settled
        )

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Ask the ledger, if the worker lives."""
        await self._alive()
        return await self._ledger.renew(limit, holder=holder, leases=leases)

    async def changed(self, limit: str, *, holder: str, seconds: float) -> tuple[Lease, ...]:
        """Ask the ledger, if the worker lives."""
        await self._alive()
        leases = await self._ledger.changed(limit, holder=holder, seconds=seconds)
        await self._alive()
        return leases

    async def held(self, limit: str) -> Mapping[str, int]:
        """Ask the ledger, if the worker lives."""
        await self._alive()
        return await self._ledger.held(limit)

    async def note(self, limit: str, counted: Mapping[str, float]) -> Board:
        """Ask the ledger, if the worker lives."""
        await self._alive()
        return await self._ledger.note(limit, counted)

    async def conclude(self, limit: str, *, serial: int, state: str) -> bool:
        """Ask the ledger, if the worker lives."""
        await self._alive()
        return await self._ledger.conclude(limit, serial=serial, state=state)

    @property
    def lease_seconds(self) -> float:
        """How long a lease lives without renewal."""
        return self._ledger.lease_seconds

    @property
    def confirm_seconds(self) -> float:
        """How long a lease lives that its holder has not confirmed."""
        return self._ledger.confirm_seconds

    async def _alive(self) -> None:
        if self._cut:
            await asyncio.get_running_loop().create_future()
