"""Who is next: start-time fair queueing.

Goyal, Vin, Cheng: "Start-time Fair Queueing: A Scheduling Algorithm for Integrated Services
Packet Switching Networks" (SIGCOMM 1996). Each flow has a tag, the virtual time at which its
next call starts; who has the least is next. A call moves its flow's tag on by what it costs
over the flow's weight, so each gets its share in what is charged and not in calls. Virtual time
is the tag of who was served last; who comes, or comes back, starts there: nobody saves up a
share that was not used, and nobody is passed over for ever.
"""

import heapq
import itertools
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Flow:
    """One flow.

    Attributes:
        key: its name within the limit.
        holder: whose flow it is.
        turn: rises with each new flow; of two with the same tag, the older one is first.
        tenant: with whom it shares a weight.
        weight: the tenant's.
        tag: the virtual time at which its next call starts.
        costs: tokens that its first waiters want, in order.
    """

    key: str
    holder: str
    turn: int
    tenant: str = ""
    weight: float = 1.0
    tag: float = 0.0
    costs: list[int] = field(default_factory=list[int])


class Line:
    """All flows of a limit."""

    def __init__(self) -> None:
        self.flows: dict[str, Flow] = {}
        self._now = 0.0  # virtual time
        self._turns = 0
        self._heap: list[tuple[float, int, Flow]] = []
        self._tenants: dict[str, int] = {}  # tenant → its flows in line
        self._holders: dict[str, int] = {}  # holder → its flows in line
        self._idle: dict[str, int] = {}  # flow → since when nobody waits in it, longest first

    def waits(self, holder: str) -> bool:
        """Whether a flow of that holder is in line."""
        return holder in self._holders

    def first(self) -> Flow | None:
        """Who is next."""
        while self._heap:
            tag, _, flow = self._heap[0]
            if flow.costs and flow.tag == tag and self.flows.get(flow.key) is flow:
                return flow
            heapq.heappop(self._heap)
        return None

    def ask(
        self, key: str, holder: str, *, tenant: str, weight: float, costs: list[int], now: int
    ) -> None:
        """Note the waiters of a flow."""
        flow = self.flows.get(key)
        if flow is None:
            if not costs:
                return
            self._turns += 1
            flow = self.flows[key] = Flow(key, holder, self._turns)
        if flow.costs:
            self._leave(flow, now)
        flow.tenant, flow.weight, flow.costs = tenant or key, weight, costs
        if costs:
            self._enter(flow)

    def serve(self, flow: Flow, now: int) -> int:
        """Take the first waiter of who is next out of the line; returns what it costs."""
        cost = flow.costs.pop(0)
        self._now = max(self._now, flow.tag)
        flow.tag += self.price(flow, cost)
        if flow.costs:
            heapq.heappush(self._heap, (flow.tag, flow.turn, flow))
        else:
            self._leave(flow, now)
        return cost

    def correct(self, key: str, change: int) -> None:
        """A call of that flow was charged another amount in truth, by ``change``."""
        flow = self.flows.get(key)
        if flow is not None:
            flow.tag += change / self._weight(flow)
            if flow.costs:
                heapq.heappush(self._heap, (flow.tag, flow.turn, flow))

    def price(self, flow: Flow, cost: int) -> float:
        """How far a call moves its flow's tag; one without tokens counts as one."""
        return max(1, cost) / self._weight(flow)

    def drop(self, flow: Flow, now: int) -> None:
        """Forget the waiters of a flow."""
        flow.costs = []
        self._leave(flow, now)

    def lapse(self, before: int) -> None:
        """Forget flows that nobody waits in since then: they would start anew anyway."""
        for key, _ in list(itertools.takewhile(lambda i: i[1] <= before, self._idle.items())):
            del self._idle[key], self.flows[key]

    def _weight(self, flow: Flow) -> float:
        return flow.weight / max(1, self._tenants.get(flow.tenant, 0))

    def _enter(self, flow: Flow) -> None:
        self._idle.pop(flow.key, None)
        flow.tag = max(flow.tag, self._now)
        heapq.heappush(self._heap, (flow.tag, flow.turn, flow))
        self._tenants[flow.tenant] = self._tenants.get(flow.tenant, 0) + 1
        self._holders[flow.holder] = self._holders.get(flow.holder, 0) + 1

    def _leave(self, flow: Flow, now: int) -> None:
        self._idle[flow.key] = now
        for counts, name in ((self._tenants, flow.tenant), (self._holders, flow.holder)):
            counts[name] -= 1
            if not counts[name]:
                del counts[name]
