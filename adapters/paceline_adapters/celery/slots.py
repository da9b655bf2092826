"""The slots of a worker's processes: connections are reserved for all of them before the fork."""

import mmap
from dataclasses import dataclass, replace

from paceline.contracts.identity import this_process
from paceline.contracts.storage.records import WorkerRecord
from paceline.contracts.worker import Reservation


@dataclass(frozen=True, slots=True)
class Slot:
    """What one process registers with.

    Attributes:
        predecessor: id of the worker in the process that this one replaces, if any.
    """

    record: WorkerRecord
    predecessor: str | None = None


class WorkerSlots:
    """One reserved record per process of the pool, and how often each was taken.

    The counters are in memory that all processes share. A process that replaces a dead one
    inherits its connections but not its id, so that recovery finds the dead worker's runs.

    Args:
        reservation: the reserved records, one per process.

    Attributes:
        pool_limit: maximum number of database connections of each process.
    """

    def __init__(self, reservation: Reservation) -> None:
        self._records = reservation.records
        self.pool_limit = reservation.pool_limit
        self._taken = memoryview(mmap.mmap(-1, 4 * len(self._records))).cast("I")

    def __len__(self) -> int:
        return len(self._records)

    def take(self, index: int) -> Slot:
        """Take the slot with this index for the calling process."""
        reserved = self._records[index]
        earlier = self._taken[index]
        self._taken[index] = earlier + 1
        record = replace(
            reserved, identity=this_process(), worker_id=_generation(reserved.worker_id, earlier)
        )
        if not earlier:
            return Slot(record)
        return Slot(record, predecessor=_generation(reserved.worker_id, earlier - 1))


def _generation(worker_id: str, number: int) -> str:
    return f"{worker_id}.{number}" if number else worker_id
