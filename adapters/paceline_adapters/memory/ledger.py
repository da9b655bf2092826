"""The ledger of one process."""

from paceline.admission.in_process import InProcessLedger


class MemoryLedger(InProcessLedger):
    """Leases that do not expire: if the process ends, the ledger ends with it."""

    shared = False

    def __init__(self, *, lease_seconds: float = 30.0) -> None:
        super().__init__(lease_seconds=lease_seconds, expires=False)
