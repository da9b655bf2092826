"""What the same latencies take at least, and what a scheduler that costs nothing makes of them.

Pure arithmetic over the calls that a round made: no clock, nothing measured. Two figures:

- the *lower bound*, which no scheduler can beat: the critical path, work ÷ limit or
  work ÷ quota, whichever is the longest;
- the *list schedule*: every concept and call starts as soon as the limits let it, in the order
  of the roadmaps, at no cost. A best order might be a little faster; nobody knows it beforehand.

Limits are known of the built-in strategies. A cell with another one is compared with what its
known limits allow, which is no less true, and says less.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

#: Calls of one concept, one after the other: seconds and tokens of each.
Chain = Sequence[tuple[float, int]]
#: The concepts of one roadmap.
Plan = Sequence[Chain]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a cell; ``None`` where there is none, or where none is known.

    Attributes:
        roadmaps: at once, over all workers.
        concepts: at once, of each roadmap.
        calls: at once, over all workers.
        requests: per window.
        tokens: per window.
        window: seconds of real time.
    """

    roadmaps: int | None = None
    concepts: int | None = None
    calls: int | None = None
    requests: int | None = None
    tokens: int | None = None
    window: float = 60.0


def lower_bound(plans: Sequence[Plan], limits: Limits) -> float:
    """Seconds that no schedule can beat."""
    calls = [call for plan in plans for chain in plan for call in chain]
    if not calls:
        return 0.0
    shortest = [_plan_bound(plan, limits.concepts) for plan in plans]
    bounds = [max(shortest)]
    if limits.roadmaps is not None:
        bounds.append(sum(shortest) / limits.roadmaps)
    if limits.calls is not None:
        bounds.append(sum(seconds for seconds, _ in calls) / limits.calls)
    # Whichever call starts last takes at least as long as the shortest one.
    least = min(seconds for seconds, _ in calls)
    for used, limit in (
        (len(calls), limits.requests),
        (sum(tokens for _, tokens in calls), limits.tokens),
    ):
        if limit is not None and used:
            bounds.append((math.ceil(used / limit) - 1) * limits.window + least)
    return max(bounds)


def _plan_bound(plan: Plan, concepts: int | None) -> float:
    chains = [sum(seconds for seconds, _ in chain) for chain in plan]
    if not chains:
        return 0.0
    return max(*chains, sum(chains) / concepts if concepts is not None else 0.0)


def list_schedule(plans: Sequence[Plan], limits: Limits) -> float:
    """Seconds that a scheduler at no cost needs, who begins first what comes first."""
    return _Schedule(plans, limits).run()


@dataclass(slots=True)
class _Concept:
    plan: int
    chain: Chain
    done: int = 0


class _Schedule:
    """A simulation of one round: events on a heap, waiting rooms for each limit."""

    def __init__(self, plans: Sequence[Plan], limits: Limits) -> None:
        self._limits = limits
        plans = [[chain for chain in plan if chain] for plan in plans]
        self._plans = deque(enumerate(plans))
        self._left = {number: len(plan) for number, plan in enumerate(plans)}
        self._open: dict[int, Iterator[Chain]] = {}
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
                self._answered(concept)
            self._start(now)
        return now

    def _answered(self, concept: _Concept) -> None:
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
                self._push(free, None)  # look again when the quota lets one in
                return
            self._quota.take(now, tokens)
            self._calls += 1
            self._push(now + seconds, self._waiting.popleft())

    def _push(self, at: float, concept: _Concept | None) -> None:
        self._number += 1
        heapq.heappush(self._ends, (at, self._number, concept))


class _Window:
    """The provider's sliding window."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken: deque[tuple[float, int]] = deque()
        self._tokens = 0

    def free_at(self, now: float, tokens: int) -> float:
        """The first moment from ``now`` on at which it lets such a call in."""
        limits = self._limits
        if limits.requests is None and limits.tokens is None:
            return now
        while self._taken and now - self._taken[0][0] >= limits.window:
            self._tokens -= self._taken.popleft()[1]
        count, used, free = len(self._taken), self._tokens, now
        for taken_at, cost in self._taken:
            if (limits.requests is None or count < limits.requests) and (
                limits.tokens is None or used + tokens <= limits.tokens
            ):
                break
            count, used, free = count - 1, used - cost, taken_at + limits.window
        return free

    def take(self, now: float, tokens: int) -> None:
        """Let one in."""
        if self._limits.requests is not None or self._limits.tokens is not None:
            self._taken.append((now, tokens))
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
    """The limits of a cell, as far as they are known.

    Args:
        strategies: validated options of the cell's strategies, by name.
        roadmaps: that all its workers work on at once.
        requests: per window that the provider takes.
        tokens: per window.
        window: seconds.
        concurrency: calls at once that the provider takes.
    """
    concepts = getattr(strategies.get("per-roadmap"), "limit", None)
    own: int | None = getattr(strategies.get("global"), "concurrency", None)
    calls = min((limit for limit in (own, concurrency) if limit is not None), default=None)
    return Limits(roadmaps, concepts, calls, requests, tokens, window)
