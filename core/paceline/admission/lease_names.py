"""Names of leases. A name contains all that a ledger needs to restore a lost lease."""

import re
from dataclasses import dataclass

from paceline.contracts.admission.ledger import Lease

_NAME = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LeaseName:
    """The parts of a lease's name.

    Attributes:
        number: rises with each lease of the limit.
        granted: time of the grant, in ms.
        cost: tokens reserved for the lease.
        flow: name of the flow within the limit: ``holder|flow``.
    """

    number: int
    granted: int
    cost: int
    flow: str

    def __str__(self) -> str:
        return f"{self.number}.{self.granted}.{self.cost}:{self.flow}"

    @property
    def holder(self) -> str:
        """The holder of the lease."""
        return self.flow.partition("|")[0]

    def lease(self) -> Lease:
        """The lease as its holder sees it."""
        return Lease(str(self), self.flow.partition("|")[2], self.cost)


def parse_lease_name(text: str) -> LeaseName | None:
    """Read a name; ``None`` if the text is not the name of a lease."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    number, granted, cost, flow = match.groups()
    return LeaseName(int(number), int(granted), int(cost), flow)
