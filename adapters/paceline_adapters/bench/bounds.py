"""The lower bound and the list schedule for the calls of a round.

Both are computed from the calls that a round made, without a clock:

- the *lower bound*, which no scheduler can beat: the longest of the critical path, work ÷ limit
  and work ÷ quota;
- the *list schedule*: every concept and call starts as soon as the limits allow it, in the order
  of the roadmaps, without overhead. An optimal order might be slightly faster, but it is not
  known in advance.

Only the limits of the built-in strategies are known. For other strategies the bound uses the
limits that are known, so it is correct but less tight.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

#: Calls of one concept, one after another: seconds and tokens of each.
CallChain = Sequence[tuple[float, int]]
#: The concepts of one roadmap.
RoadmapCalls = Sequence[CallChain]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a cell; ``None`` means unlimited or unknown.

    Attributes:
        roadmaps: maximum number of roadmaps at once, over all workers.
        concepts: maximum number of concepts at once, in each roadmap.
        calls: maximum number of calls at once, over all workers.
        requests: maximum number of requests per window.
        tokens: maximum number of tokens per window.
        window: length of the window in seconds of real time.
    """

    roadmaps: int | None = None
    concepts: int | None = None
    calls: int | None = None
    requests: int | None = None
    tokens: int | None = None
    window: float = 60.0


def lower_bound(plans: Sequence[RoadmapCalls], limits: Limits) -> float:
    """Seconds that no schedule can beat."""
    calls = [call for plan in plans for chain in plan for call in chain]
    if not calls:
        return 0.0
    shortest = [_plan_bound(plan, limits.concepts) for plan in plans]
    found = [max(shortest)]
    if limits.roadmaps is not None:
        found.append(sum(shortest) / limits.roadmaps)
    if limits.calls is not None:
        found.append(sum(seconds for seconds, _ in calls) / limits.calls)
    # The last call takes at least as long as the shortest one.
    shortest_call = min(seconds for seconds, _ in calls)
    for used, limit in (
        (len(calls), limits.requests),
        (sum(tokens for _, tokens in calls), limits.tokens),
    ):
        if limit is not None and used:
            found.append((math.ceil(used / limit) - 1) * limits.window + shortest_call)
    return max(found)


def _plan_bound(plan: RoadmapCalls, concepts: int | None) -> float:
    chains = [sum(seconds for seconds, _ in chain) for chain in plan]
    if not chains:
        return 0.0
    return max(*chains, sum(chains) / concepts if concepts is not None else 0.0)


def list_schedule(plans: Sequence[RoadmapCalls], limits: Limits) -> float:
    """Seconds that a first-come, first-served scheduler without overhead needs."""
    return _Schedule(plans, limits).run()


@dataclass(slots=True)
class _Concept:
    plan: int
    chain: CallChain
    done: int = 0


class _Schedule:
    """A simulation of one round: events on a heap, one queue per limit."""

    def __init__(self, plans: Sequence[RoadmapCalls], limits: Limits) -> None:
        self._limits = limits
        plans = [[chain for chain in plan if chain] for plan in plans]
        self._plans = deque(enumerate(plans))
        self._left = {number: len(plan) for number, plan in enumerate(plans)}
        self._open: dict[int, Iterator[CallChain]] = {}
        self._in_flight: dict[int, int] = {}
        self._waiting: deque[_Concept] = deque()
        self._calls = 0
        self._quota = _Window(limits)
        self._ends: list[tuple[float, int, _Concept | None]] = []
        self._number = 0

    def run(self) -> float:
        now = 0.0
        self._start(now)
        while self._ends:
            now, _, concept = heapq.heappop(self._ends)
            if concept is not None:
                self._calls -= 1
                self._finish_call(concept)
            self._start(now)
        return now

    def _finish_call(self, concept: _Concept) -> None:
        concept.done += 1
        if concept.done < len(concept.chain):
            self._waiting.append(concept)
            return
        self._in_flight[concept.plan] -= 1
        self._left[concept.plan] -= 1
        if not self._left[concept.plan]:
            del self._open[concept.plan]

    def _start(self, now: float) -> None:
        limits = self._limits
        while self._plans and (limits.roadmaps is None or len(self._open) < limits.roadmaps):
            number, plan = self._plans.popleft()
            if plan:
                self._open[number] = iter(plan)
                self._in_flight[number] = 0
        for number, rest in self._open.items():
            while limits.concepts is None or self._in_flight[number] < limits.concepts:
                chain = next(rest, None)
                if chain is None:
                    break
                self._in_flight[number] += 1
                self._waiting.append(_Concept(number, chain))
        while self._waiting and (limits.calls is None or self._calls < limits.calls):
            seconds, tokens = self._waiting[0].chain[self._waiting[0].done]
            free = self._quota.free_at(now, tokens)
            if free > now:
                self._push(free, None)  # check again when the quota is free
                return
            self._quota.add(now, tokens)
            self._calls += 1
            self._push(now + seconds, self._waiting.popleft())

    def _push(self, at: float, concept: _Concept | None) -> None:
        self._number += 1
        heapq.heappush(self._ends, (at, self._number, concept))


class _Window:
    """The provider's sliding window."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._admitted: deque[tuple[float, int]] = deque()
        self._tokens = 0

    def free_at(self, now: float, tokens: int) -> float:
        """The earliest time, not before ``now``, at which the window admits such a call."""
        limits = self._limits
        if limits.requests is None and limits.tokens is None:
            return now
        while self._admitted and now - self._admitted[0][0] >= limits.window:
            self._tokens -= self._admitted.popleft()[1]
        count, used, free = len(self._admitted), self._tokens, now
        for admitted_at, cost in self._admitted:
            if (limits.requests is None or count < limits.requests) and (
                limits.tokens is None or used + tokens <= limits.tokens
            ):
                break
            count, used, free = count - 1, used - cost, admitted_at + limits.window
        return free

    def add(self, now: float, tokens: int) -> None:
        """Count an admitted call."""
        if self._limits.requests is not None or self._limits.tokens is not None:
            self._admitted.append((now, tokens))
            self._tokens += tokens


def known_limits(
    strategies: Mapping[str, object],
    *,
    roadmaps: int | None,
    requests: int | None,
    tokens: int | None,
    window: float,
    concurrency: int | None = None,
) -> Limits:
    """The limits of a cell, as far as they are known."""
    concepts = getattr(strategies.get("per-roadmap"), "limit", None)
    # With its default: an option that is not set may still mean a limit.
    quota = getattr(strategies.get("global"), "quota", None)
    own: int | None = None if quota is None else quota().concurrency
    calls = min((limit for limit in (own, concurrency) if limit is not None), default=None)
    return Limits(roadmaps, concepts, calls, requests, tokens, window)
