"""The tenant, weight and priority of a run: its share of what runs use together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from paceline.errors import UsageError

#: Maximum number of characters of a tenant's name.
MAX_TENANT_LENGTH = 100
#: The tenant that owns runs without a tenant.
DEFAULT_TENANT = "default"
#: Bounds of a weight. With a wider range, the lightest run would hardly ever be served.
MIN_WEIGHT, MAX_WEIGHT = 0.01, 100.0

#: How urgent a run is, among the runs of its tenant.
Priority = Literal["high", "normal", "low"]
#: Share of its tenant's weight that the calls of a run get, relative to the tenant's other runs.
#: One run of a priority gets as many calls as 16 runs of the next lower one. So no run starves.
POINTS: Final[Mapping[Priority, int]] = {"high": 256, "normal": 16, "low": 1}
#: Seconds by which a queued run is treated as submitted earlier. A run is overtaken only by more
#: urgent runs that were submitted less than the difference after it.
AHEAD: Final[Mapping[Priority, float]] = {"high": 600.0, "normal": 0.0, "low": -600.0}


def claim_order(priority: Priority, submitted: float) -> int:
    """The place of a run in the queue, in milliseconds; the run with the smallest one is next.

    Args:
        priority: how urgent the run is.
        submitted: when it was submitted, in seconds.
    """
    return round((submitted - AHEAD[priority]) * 1000)


@dataclass(frozen=True, slots=True)
class Share:
    """What a run is submitted with.

    Attributes:
        tenant: owner of the run. All runs of one tenant share its weight. Empty if the run
            has no tenant.
        weight: share of a quota, relative to the weights of other tenants and runs.
        priority: how urgent the run is. It orders the runs of one tenant, and runs without a
            tenant; it takes nothing from other tenants.

    Raises:
        UsageError: the tenant's name, the weight or the priority is not allowed.
    """

    tenant: str = ""
    weight: float = 1.0
    priority: Priority = "normal"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.tenant:
            check_tenant(self.tenant)
        if not MIN_WEIGHT <= self.weight <= MAX_WEIGHT:
            raise UsageError(
                f"weight must be between {MIN_WEIGHT:g} and {MAX_WEIGHT:g}, got {self.weight:g}"
            )
        if self.priority not in get_args(Priority):
            raise UsageError(
                f"priority must be one of {', '.join(get_args(Priority))}, got "
                f"{str(self.priority)[:MAX_TENANT_LENGTH]!r}"
            )

    def describe(self) -> str:
        """The values that differ from the default, in words; empty if none does."""
        parts = [f"tenant {self.tenant}"] if self.tenant else []
        if self.weight != 1.0:
            parts.append(f"weight {self.weight:g}")
        if self.priority != "normal":
            parts.append(f"{self.priority} priority")
        return ", ".join(parts)


#: The share of a run that was submitted without tenant and weight.
DEFAULT_SHARE = Share()


def check_tenant(name: object) -> str:
    """Return the name of a tenant if it is allowed.

    Raises:
        UsageError: it is not.
    """
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= MAX_TENANT_LENGTH
        or not name.isprintable()
        or name != name.strip()
    ):
        shown = name[:MAX_TENANT_LENGTH] if isinstance(name, str) else name
        raise UsageError(
            f"tenant must have 1 to {MAX_TENANT_LENGTH} printable characters and no space at "
            f"either end, got {shown!r}"
        )
    return name


def stored_names(tenant: str | None) -> tuple[str, ...]:
    """Tenants, as stores name them, of the runs that belong to a tenant.

    Runs without a tenant belong to the default tenant. ``None`` stands for all tenants, which is
    an empty tuple.
    """
    if tenant is None:
        return ()
    return ("", DEFAULT_TENANT) if tenant in ("", DEFAULT_TENANT) else (tenant,)
