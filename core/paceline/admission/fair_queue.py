"""The order in which flows are served: start-time fair queueing.

Goyal, Vin, Cheng: "Start-time Fair Queueing: A Scheduling Algorithm for Integrated Services
Packet Switching Networks" (SIGCOMM 1996). Each flow has a tag: the virtual time at which its
next call starts. The flow with the lowest tag is served next. A call raises the tag of its flow
by its cost divided by the flow's weight, so shares are measured in tokens and not in calls.
Virtual time is the tag of the flow that was served last. A new or returning flow starts there,
so a flow cannot save up unused shares, and every waiter is served in the end.
"""

import heapq
import itertools
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Flow:
    """One flow.

    Attributes:
        key: name of the flow, unique within the limit.
        holder: the process that the flow belongs to.
        number: rises with each new flow; of two flows with the same tag, the older is first.
        tenant: the tenant that shares its weight among its flows.
        weight: weight of the tenant.
        points: the flow's part of that weight, relative to the tenant's other waiting flows.
        tag: virtual time at which the flow's next call starts.
        costs: tokens that its first waiters request, in order.
    """

    key: str
    holder: str
    number: int
    tenant: str = ""
    weight: float = 1.0
    points: int = 1
    tag: float = 0.0
    costs: list[int] = field(default_factory=list[int])


class FairQueue:
    """All flows of a limit."""

    def __init__(self) -> None:
        self.flows: dict[str, Flow] = {}
        self._virtual_time = 0.0
        self._flow_number = 0
        self._heap: list[tuple[float, int, Flow]] = []
        self._tenants: dict[str, int] = {}  # tenant → points of its waiting flows
        self._holders: dict[str, int] = {}  # holder → its waiting flows
        self._idle: dict[str, int] = {}  # flow → since when it has no waiters, longest first

    def has_waiters(self, holder: str) -> bool:
        """Whether a flow of that holder is waiting."""
        return holder in self._holders

    def first(self) -> Flow | None:
        """The flow to serve next."""
        while self._heap:
            tag, _, flow = self._heap[0]
            if flow.costs and flow.tag == tag and self.flows.get(flow.key) is flow:
                return flow
            heapq.heappop(self._heap)
        return None

    def update(
        self,
        key: str,
        holder: str,
        *,
        tenant: str,
        weight: float,
        points: int = 1,
        costs: list[int],
        now: int,
    ) -> None:
        """Replace the waiters of a flow."""
        flow = self.flows.get(key)
        if flow is None:
            if not costs:
                return
            self._flow_number += 1
            flow = self.flows[key] = Flow(key, holder, self._flow_number)
        if flow.costs:
            self._leave(flow, now)
        flow.tenant, flow.weight, flow.costs = tenant or key, weight, costs
        flow.points = points
        if costs:
            self._enter(flow)

    def serve(self, flow: Flow, now: int) -> int:
        """Remove the first waiter of the next flow, and return its cost."""
        cost = flow.costs.pop(0)
        self._virtual_time = max(self._virtual_time, flow.tag)
        flow.tag += max(1, cost) / self._weight(flow)  # a call without tokens counts as one token
        if flow.costs:
            heapq.heappush(self._heap, (flow.tag, flow.number, flow))
        else:
            self._leave(flow, now)
        return cost

    def correct(self, key: str, change: int) -> None:
        """Adjust a flow by the difference between a call's real cost and its reserved cost."""
        flow = self.flows.get(key)
        if flow is not None:
            flow.tag += change / self._weight(flow)
            if flow.costs:
                heapq.heappush(self._heap, (flow.tag, flow.number, flow))

    def drop(self, flow: Flow, now: int) -> None:
        """Remove all waiters of a flow."""
        flow.costs = []
        self._leave(flow, now)

    def expire_idle(self, before: int) -> None:
        """Forget flows without waiters since ``before``: virtual time has passed their tags."""
        for key, _ in list(itertools.takewhile(lambda i: i[1] <= before, self._idle.items())):
            del self._idle[key], self.flows[key]

    def _weight(self, flow: Flow) -> float:
        all_points = self._tenants.get(flow.tenant, 0)
        return flow.weight * flow.points / max(flow.points, all_points)

    def _enter(self, flow: Flow) -> None:
        self._idle.pop(flow.key, None)
        flow.tag = max(flow.tag, self._virtual_time)
        heapq.heappush(self._heap, (flow.tag, flow.number, flow))
        self._tenants[flow.tenant] = self._tenants.get(flow.tenant, 0) + flow.points
        self._holders[flow.holder] = self._holders.get(flow.holder, 0) + 1

    def _leave(self, flow: Flow, now: int) -> None:
        self._idle[flow.key] = now
        for counts, name, number in (
            (self._tenants, flow.tenant, flow.points),
            (self._holders, flow.holder, 1),
        ):
            counts[name] -= number
            if not counts[name]:
                del counts[name]
