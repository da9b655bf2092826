"""Whose a run is, and how much of what is shared it may use."""

from dataclasses import dataclass

from paceline.errors import UsageError

#: Characters of a tenant's name at most.
MOST_CHARACTERS = 100
#: Bounds of a weight: further apart, the light one would hardly ever be served.
LIGHTEST, HEAVIEST = 0.01, 100.0


@dataclass(frozen=True, slots=True)
class Share:
    """What a run is submitted with.

    Attributes:
        tenant: whose it is; all runs of a tenant share its weight. Empty: nobody else's.
        weight: share of a quota in proportion to the others'.
    """

    tenant: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            UsageError: the name or the weight cannot be.
        """
        name = self.tenant
        if len(name) > MOST_CHARACTERS or not name.isprintable() or name != name.strip():
            raise UsageError(
                f"tenant must have at most {MOST_CHARACTERS} printable characters and no space at "
                f"either end, got {name[:MOST_CHARACTERS]!r}"
            )
        if not LIGHTEST <= self.weight <= HEAVIEST:
            raise UsageError(
                f"weight must be between {LIGHTEST:g} and {HEAVIEST:g}, got {self.weight:g}"
            )

    def __str__(self) -> str:
        """In words, where it is anything but the usual."""
        parts = [f"tenant {self.tenant}"] if self.tenant else []
        if self.weight != 1.0:
            parts.append(f"weight {self.weight:g}")
        return ", ".join(parts)


#: What a run has that nobody said anything of.
EQUAL = Share()
