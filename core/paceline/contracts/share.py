"""The tenant and weight of a run: its share of what runs use together."""

from dataclasses import dataclass

from paceline.errors import UsageError

#: Maximum number of characters of a tenant's name.
MAX_TENANT_LENGTH = 100
#: Bounds of a weight. With a wider range, the lightest run would hardly ever be served.
MIN_WEIGHT, MAX_WEIGHT = 0.01, 100.0


@dataclass(frozen=True, slots=True)
class Share:
    """What a run is submitted with.

    Attributes:
        tenant: owner of the run. All runs of one tenant share its weight. Empty if the run
            has no tenant.
        weight: share of a quota, relative to the weights of other tenants and runs.

    Raises:
        UsageError: the tenant's name or the weight is not allowed.
    """

    tenant: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check both values."""
        name = self.tenant
        if len(name) > MAX_TENANT_LENGTH or not name.isprintable() or name != name.strip():
            raise UsageError(
                f"tenant must have at most {MAX_TENANT_LENGTH} printable characters and no space "
                f"at either end, got {name[:MAX_TENANT_LENGTH]!r}"
            )
        if not MIN_WEIGHT <= self.weight <= MAX_WEIGHT:
            raise UsageError(
                f"weight must be between {MIN_WEIGHT:g} and {MAX_WEIGHT:g}, got {self.weight:g}"
            )

    def describe(self) -> str:
        """The values that differ from the default, in words; empty if none does."""
        parts = [f"tenant {self.tenant}"] if self.tenant else []
        if self.weight != 1.0:
            parts.append(f"weight {self.weight:g}")
        return ", ".join(parts)


#: The share of a run that was submitted without tenant and weight.
DEFAULT_SHARE = Share()
