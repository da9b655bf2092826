"""A limit at work, in numbers: how much is used, what waits, and what was refused."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

#: What a limit counts: concepts or calls at once, uses at once of a resource, or requests or
#: tokens of the last minute.
LimitUnit = Literal["concepts", "calls", "uses", "requests", "tokens"]

#: Maximum number of limits that a worker reports.
MAX_LIMITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFigures:
    """One limit, as one worker sees it, or summed up over all workers.

    Attributes:
        strategy: name of the strategy that holds it; ``resources`` for the quota of a resource.
        key: what it is counted for, such as ``openai:gpt-4o`` or ``resource:tavily``; empty for
            everything.
        unit: what it counts.
        used: how much of it is used.
        quota: how much of it there is.
        waiting: concepts, calls or uses that wait for it.
        refused: calls or uses that were refused since the worker started.
        shared: whether all workers together have the quota, and not each of them.
        reason: why calls wait, or why an adaptive limit has changed.
    """

    strategy: str = ""
    key: str
    unit: LimitUnit
    used: int
    quota: int
    waiting: int = 0
    refused: int = 0
    shared: bool = False
    reason: str = ""

    @property
    def name(self) -> str:
        """What identifies the limit."""
        return f"{self.strategy} {self.key} {self.unit}"


def summed_up(figures: Iterable[LimitFigures]) -> Sequence[LimitFigures]:
    """Limits over all workers, in order.

    What workers share is counted once. Waiters and refusals add up.
    """
    groups: dict[str, list[LimitFigures]] = defaultdict(list)
    for one in figures:
        groups[one.name].append(one)
    totals: list[LimitFigures] = []
    for group in groups.values():
        over = max if group[0].shared else sum
        waits = next((one.reason for one in group if one.waiting and one.reason), "")
        totals.append(
            replace(
                group[0],
                used=over(one.used for one in group),
                quota=over(one.quota for one in group),
                waiting=sum(one.waiting for one in group),
                refused=sum(one.refused for one in group),
                reason=waits or next((one.reason for one in group if one.reason), ""),
            )
        )
    return totals
