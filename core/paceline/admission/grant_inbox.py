"""What one holder was told of its leases: each once, whichever way it came first."""

import asyncio
from collections.abc import Iterable, Sequence

from paceline.contracts.ledger import Lease


class Inbox:
    """Leases on their way to one holder of one limit.

    They come with the answers of its exchanges and, when somebody else's exchange granted
    them, by message. A ledger tells of a lease until the holder has confirmed it, so a lost
    answer or message loses no lease; what comes twice is told once. Numbers of leases rise.
    """

    def __init__(self) -> None:
        self._arrived: list[Lease] = []
        self._told: dict[int, None] = {}
        self._upto = 0
        self._bell = asyncio.Event()

    def push(self, leases: Iterable[Lease]) -> None:
        """A message came."""
        for lease in leases:
            number = number_of(lease)
            if number > self._upto and number not in self._told:
                self._told[number] = None
                self._arrived.append(lease)
        self._bell.set()

    def unconfirmed(self) -> list[int]:
        """Numbers of the leases that the next exchange confirms: those that were taken.

        The holder's questions do not count on the others yet.
        """
        arrived = set(map(number_of, self._arrived))
        return [number for number in self._told if number not in arrived]

    def answered(
        self, confirmed: Iterable[int], leases: Sequence[Lease], upto: int
    ) -> tuple[Lease, ...]:
        """An exchange was answered; returns what the holder has not been told of.

        Args:
            confirmed: what the exchange confirmed.
            leases: what the holder has not confirmed yet.
            upto: number of the last lease when the answer was given; ``leases`` is complete
                up to it.
        """
        for number in confirmed:
            self._told.pop(number, None)
        fresh = [lease for lease in leases if number_of(lease) not in self._told]
        self._told.update(dict.fromkeys(map(number_of, fresh)))
        self._upto = upto
        return (*self.take(), *fresh)

    def take(self) -> tuple[Lease, ...]:
        """What came by message."""
        self._bell.clear()
        arrived, self._arrived = tuple(self._arrived), []
        return arrived

    async def wait(self, seconds: float) -> tuple[Lease, ...]:
        """What came by message, when something did, or after that time."""
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            pass
        return self.take()


def number_of(lease: Lease) -> int:
    """The number of a lease, with which its name begins."""
    return int(lease.name.partition(".")[0])
