"""The ledger: the state of a limit that several workers share.

Every permit that a process holds is a lease here, which ends by itself when the process no
longer renews it. Waiters stay in their process; the ledger knows the first of each *flow* (one
run in one process) with what they cost, and serves the flows of all processes in one order, so
it is the same to a run whose worker asks.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from paceline.contracts.work import RateLimitInfo

#: Why the first in line waits: see ``Grant``.
Reason = Literal["", "concurrency", "requests", "tokens", "pace", "refused", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much all processes together may use of a limit; ``None``: as much as they like.

    Attributes:
        concurrency: leases out at once.
        requests: leases granted in any minute.
        tokens: tokens of the leases granted in any minute.
        follow: whether what the provider's headers say is the quota also where none is set;
            where one is set, the lower of both always is.
    """

    concurrency: int | None = None
    requests: int | None = None
    tokens: int | None = None
    follow: bool = False


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """The waiters of one flow, as they are now; it replaces what was known of them.

    Attributes:
        flow: the flow's name, its own within the holder.
        costs: tokens that each of the first waiters reserves, in order; empty: nobody waits.
        tenant: whose flow it is; all flows of a tenant share its weight. Empty: its own.
        weight: share of what is there, in proportion to the others'.
    """

    flow: str
    costs: Sequence[int]
    tenant: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Lease:
    """One permit of a holder.

    Attributes:
        name: unique within the limit.
        flow: the flow it was granted to.
        cost: tokens reserved for it.
    """

    name: str
    flow: str
    cost: int


@dataclass(frozen=True, slots=True)
class LeaseRelease:
    """A lease that is given back.

    Attributes:
        lease: its name.
        tokens: what the provider counted; ``None``: as reserved; 0: nothing, and no request
            either.
        refused: whether the provider refused the call.
        retry_after: seconds until it wants to be asked again, when it said so.
        headroom: what it said of its quota.
    """

    lease: str
    tokens: int | None = None
    refused: bool = False
    retry_after: float | None = None
    rate_limit_info: RateLimitInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What of a limit is in use, over all holders.

    Attributes:
        out: leases out now.
        requests: requests counted for the last minute; 0 where nothing limits them.
        tokens: tokens likewise.
        request_quota: requests that may be, the provider's word included.
        token_quota: tokens likewise.
    """

    out: int = 0
    requests: int = 0
    tokens: int = 0
    request_quota: int | None = None
    token_quota: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What an exchange brought.

    Attributes:
        leases: those granted to the holder that it was not told of before.
        expires_in: seconds until something changes by itself, when the holder has waiters
            left: ask again then at the latest.
        reason: why the first in line waits, whosever it is: ``concurrency``, ``requests`` or
            ``tokens`` (as many are used as may be), ``pace`` (calls are spread over the
            minute), ``refused`` (the provider refused), ``unknown`` (a ledger that lost its
            data waits for the leases of before).
        use: what is in use.
        forgotten: whether the ledger knew nothing of the holder: whom this exchange did not
            ask for is not known.
    """

    leases: tuple[Lease, ...]
    expires_in: float | None = None
    reason: Reason = ""
    use: Use = field(default_factory=Use)
    forgotten: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What all holders counted of a limit since somebody last drew a conclusion from it.

    Attributes:
        serial: number of conclusions so far.
        state: the last one, as it was written; empty before the first.
        totals: the sums by name.
        seconds: since the last conclusion.
        now: seconds of the ledger's clock.
    """

    serial: int
    state: str
    totals: Mapping[str, float]
    seconds: float
    now: float


class Ledger(ABC):
    """Leases of named limits. All calls are made from one event loop."""

    #: Whether other processes see the same leases.
    shared: bool = False

    @abstractmethod
    async def sync(
        self,
        limit: str,
        *,
        quota: Quota,
        holder: str,
        asks: Sequence[LeaseRequest] = (),
        settled: Sequence[LeaseRelease] = (),
    ) -> Grant:
        """Give back and ask, in one step.

        What is free afterwards is granted to whoever is first in line, whichever holder it
        belongs to; the others hear of theirs through ``changed``. Only one exchange of a
        holder runs at a time; one that failed is repeated, or followed, by another.

        Args:
            limit: the limit's name.
            quota: what may be used of it.
            holder: who asks: one process. The name holds no ``|``.
            asks: flows whose waiters changed since the last exchange.
            settled: leases to give back first.

        Raises:
            PartUnavailable: the ledger cannot be reached; nothing is known of the outcome.
        """

    @abstractmethod
    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Prolong leases by the ledger's lease time; returns those that had ended.

        These count again, as long as their holder says so: their calls are still out.

        Raises:
            PartUnavailable: the ledger cannot be reached.
        """

    @abstractmethod
    async def changed(self, limit: str, *, holder: str, seconds: float) -> tuple[Lease, ...]:
        """Return when that holder was granted something or may be, or after ``seconds``.

        What was granted since the holder's last ``exchange`` counts, so nothing is missed
        between the two calls. The holder's next exchange confirms what it was told here, and
        must follow within ``confirm_seconds``: who does not is taken for dead. It may return
        nothing: ask again, for all flows. It does not raise.
        """

    @abstractmethod
    async def held(self, limit: str) -> Mapping[str, int]:
        """How many leases each holder has now."""

    @abstractmethod
    async def note(self, limit: str, counted: Mapping[str, float]) -> Board:
        """Add what this holder counted to everybody's, and read what there is.

        Args:
            limit: the limit's name; its board is apart from its leases.
            counted: what to add, by name; names that are no longer used end with the next
                conclusion.

        Raises:
            PartUnavailable: the ledger cannot be reached; the sums may or may not be added.
        """

    @abstractmethod
    async def conclude(self, limit: str, *, serial: int, state: str) -> bool:
        """Draw a conclusion: the sums begin at zero again. A board that nobody uses is lost.

        Returns:
            Whether ``state`` is now the board's; false if somebody else was first.

        Raises:
            PartUnavailable: the ledger cannot be reached.
        """

    @property
    @abstractmethod
    def lease_seconds(self) -> float:
        """How long a lease lives without renewal."""

    @property
    def confirm_seconds(self) -> float:
        """How long a lease lives of which its holder was told by ``changed`` alone."""
        return min(5.0, self.lease_seconds / 2)

    async def check(self) -> str:
        """Reach the ledger, for ``paceline doctor``: one line about where it is.

        Raises:
            PartUnavailable: it cannot be reached.
        """
        return ""

    async def close(self) -> None:
        """Close what the ledger opened. Leases stay until they are settled or end."""
