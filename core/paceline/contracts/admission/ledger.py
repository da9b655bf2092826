"""The ledger: the state of a limit that several workers share.

Each permit that a process holds is a lease in the ledger. A lease expires if its process stops
renewing it. Waiters stay in their process. For each *flow* (one run in one process) the ledger
knows the first waiters and their costs. It serves the flows of all processes in one fair order,
so it makes no difference which worker executes a run.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from paceline.contracts.admission.work import RateLimitInfo
from paceline.contracts.finding import Finding
from paceline.contracts.share import POINTS

#: Why the next waiter must wait: see ``Grant``.
Reason = Literal["", "concurrency", "requests", "tokens", "pace", "refused", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much all processes together may use of a limit; ``None`` means unlimited.

    Attributes:
        concurrency: leases out at once.
        requests: leases granted in any minute.
        tokens: tokens of the leases granted in any minute.
        follow: whether the quota in the provider's headers also applies where no number is
            set here. Where one is set, the lower of both always applies.
        version: version of the numbers. A ledger that has seen a newer version applies that
            one, so that no process exceeds a limit that another one has lowered already.
    """

    concurrency: int | None = None
    requests: int | None = None
    tokens: int | None = None
    follow: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """The current waiters of one flow. It replaces the flow's previous request.

    Attributes:
        flow: name of the flow, unique within the holder.
        costs: tokens that each of the first waiters reserves, in order; empty if the flow has
            no waiters.
        tenant: tenant that owns the flow. All flows of one tenant share its weight. If empty,
            the flow has a weight of its own.
        weight: scheduling weight relative to other tenants.
        points: part of the tenant's weight that the flow gets, relative to the points of the
            tenant's other flows that wait. A flow without a tenant gets its whole weight.
    """

    flow: str
    costs: Sequence[int]
    tenant: str = ""
    weight: float = 1.0
    points: int = POINTS["normal"]


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
    """A lease that its holder releases.

    Attributes:
        lease: name of the lease.
        tokens: tokens that the provider counted. ``None``: as many as reserved. 0: the provider
            counted neither tokens nor a request.
        refused: whether the provider refused the call.
        retry_after: seconds that the provider asked to wait; ``None`` if it named no time.
        rate_limit_info: the quota that the provider reported.
    """

    lease: str
    tokens: int | None = None
    refused: bool = False
    retry_after: float | None = None
    rate_limit_info: RateLimitInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How much of a limit all holders use.

    Attributes:
        out: leases out now.
        requests: requests counted for the last minute; 0 if they are not limited.
        tokens: tokens counted for the last minute; 0 if they are not limited.
        request_quota: requests allowed per minute, by the settings and the provider.
        token_quota: tokens allowed per minute, by the settings and the provider.
    """

    out: int = 0
    requests: int = 0
    tokens: int = 0
    request_quota: int | None = None
    token_quota: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """The result of one ``sync``.

    Attributes:
        leases: leases newly granted to the holder.
        retry_in: seconds after which the holder must sync again, if it still has waiters.
        reason: why the next waiter of the limit must wait, in any process. ``concurrency``,
            ``requests`` or ``tokens``: the quota is used up. ``pace``: calls are spread over the
            minute. ``refused``: the provider refused a call. ``unknown``: the ledger lost its
            data and waits until earlier leases are renewed or expired.
        use: how much of the limit is in use.
        unknown_holder: whether the ledger did not know the holder, and so knows none of its
            waiters that this sync did not list.
    """

    leases: tuple[Lease, ...]
    retry_in: float | None = None
    reason: Reason = ""
    use: Use = field(default_factory=Use)
    unknown_holder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCounters:
    """What all holders counted for a limit since the last decision.

    Attributes:
        version: number of decisions so far.
        state: the state that the last decision wrote; empty before the first.
        totals: sums by name.
        seconds: time since the last decision.
        now: time of the ledger's clock, in seconds.
    """

    version: int
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
        requests: Sequence[LeaseRequest] = (),
        releases: Sequence[LeaseRelease] = (),
    ) -> Grant:
        """Release leases and request new ones, in one step.

        The ledger then grants free capacity to the next waiters, in any process. It notifies
        the other holders of their leases through ``wait_for_grants``. Only one ``sync`` of a
        holder runs at a time. If one fails, the holder repeats it or calls another.

        Args:
            limit: name of the limit.
            quota: how much of it may be used.
            holder: name of the calling process. It must not contain ``|``.
            requests: flows with waiters that changed since the last sync.
            releases: leases to release first.

        Raises:
            PartUnavailable: the ledger cannot be reached; the sync may or may not have happened.
        """

    @abstractmethod
    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Extend leases by the lease time, and return the names of those that had expired.

        Expired leases count again, because their calls are still in flight.

        Raises:
            PartUnavailable: the ledger cannot be reached.
        """

    @abstractmethod
    async def wait_for_grants(
        self, limit: str, *, holder: str, seconds: float
    ) -> tuple[Lease, ...]:
        """Wait until other holders' syncs granted this holder leases, or for ``seconds``.

        Leases granted since the holder's last ``sync`` count, so none is missed between the two
        calls. The holder confirms the returned leases with its next ``sync``, which must follow
        within ``confirm_seconds``; otherwise they go to the next waiter. If the result is empty
        before the time is up, the holder must sync all its flows. It does not raise.
        """

    @abstractmethod
    async def held(self, limit: str) -> Mapping[str, int]:
        """The number of leases of each holder."""

    @abstractmethod
    async def add_counts(self, limit: str, counts: Mapping[str, float]) -> SharedCounters:
        """Add this holder's counts to the shared sums, and return the result.

        Args:
            limit: name of the limit. Its counters are independent of its leases.
            counts: amounts to add, by name. The next decision removes names that are no longer
                in use.

        Raises:
            PartUnavailable: the ledger cannot be reached; the counts may or may not be added.
        """

    @abstractmethod
    async def commit_decision(self, limit: str, *, version: int, state: str) -> bool:
        """Write the state that was decided from the counters, and reset their sums to zero.

        The ledger may drop counters that are not in use.

        Args:
            limit: name of the limit.
            version: the version of the counters that the decision is based on.
            state: the new state.

        Returns:
            Whether ``state`` was written; false if another holder's decision came first.

        Raises:
            PartUnavailable: the ledger cannot be reached.
        """

    @property
    @abstractmethod
    def lease_seconds(self) -> float:
        """Time after which a lease expires unless it is renewed."""

    @property
    def confirm_seconds(self) -> float:
        """Time within which a holder must confirm leases from ``wait_for_grants``."""
        return min(5.0, self.lease_seconds / 2)

    async def check(self) -> str | Finding:
        """Use the ledger once, and describe it in one line. A worker does so before it starts.

        Returns:
            The line for ``paceline doctor``, or a finding if there is something to do.

        Raises:
            PartUnavailable: the ledger cannot be reached.
            PartRejected: it rejects this process.
        """
        return ""

    async def close(self) -> None:
        """Close what the ledger opened. Leases stay until they are released or expire."""
