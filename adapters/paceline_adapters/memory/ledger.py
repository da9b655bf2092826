"""The ledger of one process."""

from paceline.admission.in_process import InProcessLedger


class MemoryLedger(InProcessLedger):
    """Leases that do not end by time: nobody can die and leave one behind without the ledger.

    Args:
        lease_seconds: what holders are told to renew within.
    """

    shared = False

    def __init__(self, *, lease_seconds: float = 30.0) -> None:
        super().__init__(lease_seconds=lease_seconds, expires=False)
