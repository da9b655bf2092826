"""The places of a worker's processes: connections are reserved for all before the fork."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from paceline.contracts.identity import this_process
from paceline.contracts.records import WorkerRecord


@dataclass(frozen=True, slots=True)
class Place:
    """What one process takes its worker's record from.

    Attributes:
        record: its record.
        predecessor: id of the worker whose process this one replaces, if it does.
    """

    record: WorkerRecord
    predecessor: str | None = None


class Slots:
    """One reserved record per process of the pool, and how often each was taken.

    The counts lie in memory that all processes share. A process that replaces a dead one
    takes over its connections, not its id: the dead one's runs must be seen to be orphans.

    Args:
        records: the reserved records, one per process.
        pool_limit: database connections that each of them may open.
    """

    def __init__(self, records: Sequence[WorkerRecord], pool_limit: int) -> None:
        self._records = records
        self.pool_limit = pool_limit
        self._taken = memoryview(mmap.mmap(-1, 4 * len(records))).cast("I")

    def __len__(self) -> int:
        return len(self._records)

    def take(self, index: int) -> Place:
        """The place of the process with that index, which is the one that calls."""
        reserved = self._records[index]
        earlier = self._taken[index]
        self._taken[index] = earlier + 1
        record = replace(
            reserved,
            identity=this_process(),
            worker_id=_generation(reserved.worker_id, earlier),
        )
        if not earlier:
            return Place(record)
        return Place(record, predecessor=_generation(reserved.worker_id, earlier - 1))


def _generation(worker_id: str, number: int) -> str:
    return f"{worker_id}.{number}" if number else worker_id
