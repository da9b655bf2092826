"""Names of leases, which say all that a ledger must know of one that it forgot."""

import re
from dataclasses import dataclass

from paceline.contracts.ledger import Lease

_NAME = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a lease, read.

    Attributes:
        number: rises with each lease of the limit.
        granted: when it was granted, in ms.
        cost: tokens reserved for it.
        flow: the flow's name within the limit: its holder's, ``|``, and its own.
    """

    number: int
    granted: int
    cost: int
    flow: str

    def __str__(self) -> str:
        return f"{self.number}.{self.granted}.{self.cost}:{self.flow}"

    @property
    def holder(self) -> str:
        """Whose lease it is."""
        return self.flow.partition("|")[0]

    def lease(self) -> Lease:
        """The lease, as its holder sees it."""
        return Lease(str(self), self.flow.partition("|")[2], self.cost)


def read_name(text: str) -> Name | None:
    """Read a name; ``None`` where it is none."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    number, granted, cost, flow = match.groups()
    return Name(int(number), int(granted), int(cost), flow)
