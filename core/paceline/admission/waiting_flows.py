"""The waiters of this process for a shared limit, by run, and what the ledger knows of them."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice

from paceline.contracts.admission.ledger import Lease, LeaseRequest
from paceline.contracts.admission.work import Work
from paceline.contracts.share import POINTS, Priority

#: Returns the tokens that a call costs by the current estimate.
Cost = Callable[[], int]

#: A lease may be this much too small, because estimates change a little with each call.
_TOLERANCE = 1.1
#: If a lease is this much too large, the ledger needs the new estimates of all waiters.
_OUTDATED = 1.5
#: Waiters of one flow that the ledger knows at most; more make no difference to it.
MAX_REQUESTED = 128

Waiter = asyncio.Future[Lease]


class WaitingFlow:
    """The waiters of one run, first come, first served.

    Args:
        name: the run.
        priority: how urgent its calls are. Without a tenant, the flow's own weight expresses it.
    """

    def __init__(
        self,
        name: str,
        tenant: str = "",
        weight: float = 1.0,
        priority: Priority = "normal",
    ) -> None:
        self.name = name
        self._tenant = tenant
        self._points = POINTS[priority]
        self._weight = weight if tenant else weight * self._points / POINTS["normal"]
        self._waiters: dict[Waiter, Cost] = {}  # in order
        self._requested = 0  # waiters that the ledger knows
        self.stale = False  # whether the ledger knows wrong costs or waiters

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def finished(self) -> bool:
        """Whether there are no waiters, and the ledger knows that."""
        return not self._waiters and not self._requested and not self.stale

    @property
    def urgent(self) -> bool:
        """Whether the ledger must learn of a change at once.

        More waiters are not urgent while the ledger already knows some that it cannot serve.
        """
        return self.stale or bool(self._waiters) != bool(self._requested)

    @property
    def changed(self) -> bool:
        """Whether the next sync should include this flow."""
        return self.urgent or 2 * self._requested <= min(len(self._waiters), MAX_REQUESTED)

    def join(self, waiter: Waiter, cost: Cost) -> None:
        """Add a waiter at the end."""
        self._waiters[waiter] = cost

    def leave(self, waiter: Waiter, *, costs_matter: bool) -> None:
        """Remove a waiter. If ``costs_matter``, the ledger must know which cost was removed."""
        if self._waiters.pop(waiter, None) is not None and costs_matter:
            self.stale = True

    def request(self) -> LeaseRequest:
        """The request that describes the current waiters."""
        costs = (cost() for waiter, cost in self._waiters.items() if not waiter.done())
        return LeaseRequest(
            self.name,
            list(islice(costs, MAX_REQUESTED)),
            self._tenant,
            self._weight,
            self._points,
        )

    def request_received(self, request: LeaseRequest) -> None:
        """Note that the ledger received a request."""
        self._requested = len(request.costs)
        self.stale = False

    def pop_for(self, lease: Lease, token_quota: int | None) -> Waiter | None:
        """Remove and return the first waiter that a lease of this flow is large enough for.

        A call is charged at most ``token_quota``; it is ``None`` if tokens are not limited.
        """
        self._requested = max(0, self._requested - 1)
        served = None
        cancelled: list[Waiter] = []  # their tasks have not called ``leave`` yet
        for waiter, cost in self._waiters.items():
            if waiter.done():
                cancelled.append(waiter)
                continue
            price = 0 if token_quota is None else min(cost(), token_quota)
            if price <= _TOLERANCE * lease.cost:
                served = waiter
                if token_quota is not None and lease.cost > _OUTDATED * price:
                    self.stale = True
                break
        for waiter in cancelled:
            self.leave(waiter, costs_matter=token_quota is not None)
        if served is None:
            self.stale = True  # the ledger's first waiter no longer exists
        else:
            del self._waiters[served]
        return served

    def waiters(self) -> list[Waiter]:
        """All waiters."""
        return list(self._waiters)


@lru_cache(maxsize=1024)
def flow_of(run_id: str, priority: Priority = "normal") -> str:
    """The name of a run's flow: a hash, because a ledger keeps names longer than runs exist.

    Calls of another priority, such as those of revisions, are a flow of their own.
    """
    if priority != "normal":
        run_id = f"{run_id} {priority}"
    return hashlib.blake2s(run_id.encode(errors="surrogatepass"), digest_size=10).hexdigest()


class WaitingFlows:
    """All flows of this process that wait for one limit."""

    def __init__(self) -> None:
        self._flows: dict[str, WaitingFlow] = {}

    def __len__(self) -> int:
        return sum(map(len, self._flows.values()))

    def __iter__(self) -> Iterator[WaitingFlow]:
        return iter(list(self._flows.values()))

    @property
    def finished(self) -> bool:
        """Whether there are no waiters, and the ledger knows that."""
        return not self._flows

    def of(self, work: Work) -> WaitingFlow:
        """The flow of some work."""
        name = flow_of(work.run_id, work.priority)
        flow = self._flows.get(name)
        if flow is None:
            flow = self._flows[name] = WaitingFlow(name, work.tenant, work.weight, work.priority)
        return flow

    def pop_for(self, lease: Lease, token_quota: int | None) -> Waiter | None:
        """Remove and return the waiter for a lease; see ``WaitingFlow.pop_for``."""
        flow = self._flows.get(lease.flow)
        if flow is not None:
            return flow.pop_for(lease, token_quota)
        # The ledger expects waiters of this flow: the next sync corrects that.
        self._flows[lease.flow] = WaitingFlow(lease.flow)
        self._flows[lease.flow].stale = True
        return None

    def remove_finished(self) -> None:
        """Remove flows that are finished."""
        for name in [name for name, flow in self._flows.items() if flow.finished]:
            del self._flows[name]

    def clear(self) -> list[Waiter]:
        """Remove and return all waiters."""
        waiters = [waiter for flow in self for waiter in flow.waiters()]
        self._flows.clear()
        return waiters
