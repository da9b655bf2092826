"""Deduplicates the leases that reach a holder by reply and by notification."""

import asyncio
from collections.abc import Iterable, Sequence

from paceline.contracts.admission.ledger import Lease


class GrantInbox:
    """Leases on their way to one holder of one limit.

    Leases arrive with the replies to the holder's syncs. Leases granted by another holder's
    sync arrive as notifications. A ledger repeats a lease until the holder has confirmed it, so
    a lost reply or notification loses no lease. The inbox returns each lease once. The numbers
    of leases rise.
    """

    def __init__(self) -> None:
        self._arrived: list[Lease] = []
        self._unconfirmed: dict[int, None] = {}
        self._last_number = 0
        self._notified = asyncio.Event()

    def notify(self, leases: Iterable[Lease]) -> None:
        """Add the leases of a notification, and wake the holder."""
        for lease in leases:
            number = lease_number(lease)
            if number > self._last_number and number not in self._unconfirmed:
                self._unconfirmed[number] = None
                self._arrived.append(lease)
        self._notified.set()

    def unconfirmed(self) -> list[int]:
        """Numbers of the leases that the holder took and that its next sync confirms.

        Leases that the holder has not taken yet are left out: its requests still ask for them.
        """
        arrived = set(map(lease_number, self._arrived))
        return [number for number in self._unconfirmed if number not in arrived]

    def merge_reply(
        self, confirmed: Iterable[int], leases: Sequence[Lease], last_number: int
    ) -> tuple[Lease, ...]:
        """Process the reply to a sync, and return the leases that are new to the holder.

        Args:
            confirmed: numbers of the leases that the sync confirmed.
            leases: all leases of the holder that are not confirmed.
            last_number: number of the limit's last lease at the time of the reply; ``leases`` is
                complete up to it.
        """
        for number in confirmed:
            self._unconfirmed.pop(number, None)
        fresh = [lease for lease in leases if lease_number(lease) not in self._unconfirmed]
        self._unconfirmed.update(dict.fromkeys(map(lease_number, fresh)))
        self._last_number = last_number
        return (*self.take(), *fresh)

    def take(self) -> tuple[Lease, ...]:
        """Remove and return the leases that arrived by notification."""
        self._notified.clear()
        arrived, self._arrived = tuple(self._arrived), []
        return arrived

    async def wait(self, seconds: float) -> tuple[Lease, ...]:
        """Wait for a notification, but at most ``seconds``; then take what arrived."""
        try:
            async with asyncio.timeout(seconds):
                await self._notified.wait()
        except TimeoutError:
            pass
        return self.take()


def lease_number(lease: Lease) -> int:
    """The number of a lease: the first part of its name."""
    return int(lease.name.partition(".")[0])
