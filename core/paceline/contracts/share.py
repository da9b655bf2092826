"""The tenant and weight of a run: its share of what runs use together."""

from dataclasses import dataclass

from paceline.errors import UsageError

#: Maximum number of characters of a tenant's name.
MAX_TENANT_LENGTH = 100
#: The tenant that owns runs without a tenant.
DEFAULT_TENANT = "default"
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
        if self.tenant:
            check_tenant(self.tenant)
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
