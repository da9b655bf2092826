"""A ledger in this process: a book per limit, on the event loop's clock."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from paceline.admission.grant_inbox import Inbox
from paceline.admission.lease_table import Book
from paceline.admission.shared_counters import InProcessBoard
from paceline.contracts.ledger import Board, Grant, Lease, LeaseRelease, LeaseRequest, Ledger, Quota


class InProcessLedger(Ledger):
    """Leases of named limits within this process.

    Args:
        lease_seconds: how long a lease lives without renewal.
        expires: whether leases end when their holder is silent.
    """

    def __init__(self, *, lease_seconds: float, expires: bool) -> None:
        self._lease_seconds = lease_seconds
        self._expires = expires
        self._books: dict[str, Book] = {}
        self._boards: dict[str, InProcessBoard] = {}
        self._inboxes: defaultdict[tuple[str, str], Inbox] = defaultdict(Inbox)

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
        inbox = self._inboxes[limit, holder]
        heard = inbox.unconfirmed()
        answer = self._book(limit).sync(
            self._now(), quota=quota, holder=holder, asks=asks, settled=settled, heard=heard
        )
        for other, leases in answer.mail.items():
            self._inboxes[limit, other].push(leases)
        if answer.wake is not None:
            self._inboxes[limit, answer.wake].push(())
        ends = answer.expires_in
        return Grant(
            leases=inbox.answered(heard, answer.leases, answer.upto),
            expires_in=None if ends is None else ends / 1000,
            reason=answer.reason,
            use=answer.use,
            forgotten=answer.forgotten,
        )

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Prolong leases; returns those that had ended."""
        return self._book(limit).renew(self._now(), holder=holder, leases=leases)

    async def changed(self, limit: str, *, holder: str, seconds: float) -> tuple[Lease, ...]:
        """Return when that holder was granted something or may be, or after ``seconds``."""
        return await self._inboxes[limit, holder].wait(seconds)

    async def held(self, limit: str) -> Mapping[str, int]:
        """How many leases each holder has now."""
        return self._book(limit).held(self._now())

    async def note(self, limit: str, counted: Mapping[str, float]) -> Board:
        """Add to everybody's sums, and read them."""
        return self._board(limit).note(self.now(), counted)

    async def conclude(self, limit: str, *, serial: int, state: str) -> bool:
        """Draw a conclusion, unless somebody else was first."""
        return self._board(limit).conclude(self.now(), serial=serial, state=state)

    @property
    def lease_seconds(self) -> float:
        """How long a lease lives without renewal."""
        return self._lease_seconds

    @property
    def confirm_seconds(self) -> float:
        """How long a lease lives that its holder has not confirmed."""
        return super().confirm_seconds if self._expires else math.inf

    def now(self) -> float:
        """Seconds of the ledger's clock, which only rises."""
        return asyncio.get_running_loop().time()

    def _now(self) -> int:
        # Rounded, as whole milliseconds rarely are exact in seconds.
        return round(self.now() * 1000)

    def _board(self, limit: str) -> InProcessBoard:
        board = self._boards.get(limit)
        if board is None:
            board = self._boards[limit] = InProcessBoard(self.now())
        return board

    def _book(self, limit: str) -> Book:
        book = self._books.get(limit)
        if book is None:
            if self._expires:
                confirm = round(self.confirm_seconds * 1000)
                book = Book(lease=round(self._lease_seconds * 1000), confirm=confirm)
            else:
                book = Book(lease=None, confirm=0)
            self._books[limit] = book
        return book
