"""A limit at work, in numbers: how much is used, what waits, and what was refused."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from paceline.contracts.share import stored_names

#: What a limit counts: concepts or calls at once, uses at once of a resource, or requests or
#: tokens of the last minute.
LimitUnit = Literal["concepts", "calls", "uses", "requests", "tokens"]

#: Maximum number of limits that a worker reports.
MAX_LIMITS = 64

#: Begins the key of a limit that belongs to one tenant.
_OF_TENANT = "tenant:"


def tenant_key(tenant: str) -> str:
    """The key of a tenant's own quota, such as ``tenant:acme``."""
    return _OF_TENANT + tenant


def tenant_of_key(key: str) -> str | None:
    """The tenant that a limit belongs to; ``None`` if it concerns all tenants."""
    return key[len(_OF_TENANT) :] if key.startswith(_OF_TENANT) else None


def key_is_visible(key: str, tenant: str | None) -> bool:
    """Whether a tenant may see the limit of a key; ``None`` sees those of all tenants."""
    owner = tenant_of_key(key)
    return tenant is None or owner is None or stored_names(owner) == stored_names(tenant)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFigures:
    """One limit, as one worker sees it, or summed up over all workers.

    Attributes:
        strategy: name of the strategy that holds it; ``resources`` for the quota of a resource.
        key: what it is counted for, such as ``openai:gpt-4o``, ``resource:tavily`` or
            ``tenant:acme``; empty for everything.
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


def most_important(figures: Iterable[LimitFigures]) -> Sequence[LimitFigures]:
    """At most ``MAX_LIMITS`` of a worker's limits. Idle quotas of tenants are left out first."""
    in_order = sorted(
        figures,
        key=lambda one: (0, 0) if tenant_of_key(one.key) is None else (1, -one.waiting),
    )
    return in_order[:MAX_LIMITS]


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
