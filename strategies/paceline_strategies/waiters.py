"""Who waits in this process for a shared limit, run by run, and what the ledger knows of it."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice

from paceline import Lease, LeaseRequest, Work

#: Tokens that a call costs, as far as is known when it is asked.
Cost = Callable[[], int]

#: A lease may be so much too small, as estimates change a little with each call that ends...
_SLIGHTLY = 1.1
#: ... and tells that the ledger should hear of all estimates anew when it is so much too large.
_FAR = 1.5
#: Waiters of one flow that the ledger knows of at most: more change nothing for it.
KNOWN = 128

Waiter = asyncio.Future[Lease]


class Flow:
    """The waiters of one run, first come, first served.

    Args:
        name: the run.
        tenant: whose it is.
        weight: its share.
    """

    def __init__(self, name: str, tenant: str = "", weight: float = 1.0) -> None:
        self.name = name
        self._tenant = tenant
        self._weight = weight
        self._waiters: dict[Waiter, Cost] = {}  # with what each costs, in order
        self._known = 0
        self.stale = False

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def over(self) -> bool:
        """Whether nobody waits, and the ledger knows that."""
        return not self._waiters and not self._known and not self.stale

    @property
    def news(self) -> bool:
        """Whether the ledger's picture is so wrong that it should hear at once.

        While it knows of somebody whom it cannot serve, more waiters change nothing.
        """
        return self.stale or bool(self._waiters) != bool(self._known)

    @property
    def grown(self) -> bool:
        """Whether the next exchange should tell of more waiters."""
        return self.news or 2 * self._known <= min(len(self._waiters), KNOWN)

    def join(self, waiter: Waiter, cost: Cost) -> None:
        """Wait at the end."""
        self._waiters[waiter] = cost

    def leave(self, waiter: Waiter, *, exact: bool) -> None:
        """Wait no longer.

        Args:
            waiter: who.
            exact: whether it matters which of the costs that the ledger knows goes with it.
        """
        if self._waiters.pop(waiter, None) is not None and exact:
            self.stale = True

    def ask(self) -> LeaseRequest:
        """What to tell the ledger."""
        waiting = (cost() for waiter, cost in self._waiters.items() if not waiter.done())
        return LeaseRequest(self.name, list(islice(waiting, KNOWN)), self._tenant, self._weight)

    def told(self, ask: LeaseRequest) -> None:
        """The ledger knows."""
        self._known = len(ask.costs)
        self.stale = False

    def next_for(self, lease: Lease, most: int | None) -> Waiter | None:
        """The first waiter that a lease of this flow is enough for; it waits no longer.

        Args:
            lease: what was granted.
            most: what one call can be charged at most, whatever it costs; ``None``: nothing
                is charged.
        """
        self._known = max(0, self._known - 1)
        enough = None
        gone: list[Waiter] = []  # cancelled, and did not come to leave yet
        for waiter, cost in self._waiters.items():
            if waiter.done():
                gone.append(waiter)
                continue
            price = 0 if most is None else min(cost(), most)
            if price <= _SLIGHTLY * lease.cost:
                enough = waiter
                self.stale = self.stale or (most is not None and lease.cost > _FAR * price)
                break
        for waiter in gone:
            self.leave(waiter, exact=most is not None)
        if enough is None:
            self.stale = True  # the ledger waits for somebody who is gone
        else:
            del self._waiters[enough]
        return enough

    def everybody(self) -> list[Waiter]:
        """All who wait."""
        return list(self._waiters)


class Waiters:
    """All flows of this process."""

    def __init__(self) -> None:
        self._flows: dict[str, Flow] = {}

    def __len__(self) -> int:
        return sum(map(len, self._flows.values()))

    def __iter__(self) -> Iterator[Flow]:
        return iter(list(self._flows.values()))

    @property
    def over(self) -> bool:
        """Whether nobody waits, and the ledger knows that."""
        return not self._flows

    def of(self, work: Work) -> Flow:
        """The flow of some work."""
        flow = self._flows.get(work.run_id)
        if flow is None:
            flow = Flow(work.run_id, work.tenant, work.weight)
            self._flows[work.run_id] = flow
        return flow

    def nobody(self, name: str) -> None:
        """Tell the ledger that nobody waits in a flow that it has waiters of."""
        self._flows.setdefault(name, Flow(name)).stale = True

    def next_for(self, lease: Lease, most: int | None) -> Waiter | None:
        """Who gets a lease; see ``Flow.next_for``."""
        flow = self._flows.get(lease.flow)
        if flow is not None:
            return flow.next_for(lease, most)
        self.nobody(lease.flow)
        return None

    def tidy(self) -> None:
        """Forget flows that are over."""
        for name in [name for name, flow in self._flows.items() if flow.over]:
            del self._flows[name]

    def clear(self) -> list[Waiter]:
        """Nobody waits any more; returns who did."""
        everybody = [waiter for flow in self for waiter in flow.everybody()]
        self._flows.clear()
        return everybody
