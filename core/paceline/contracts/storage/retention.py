"""Deleting runs completely."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from paceline.contracts.storage.records import RunStatus

#: Text in ``Artifact.adopted_from`` if the run that made the artifact was purged.
PURGED = "purged"


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeableRun:
    """A run that may be purged.

    Attributes:
        run_id: id of the run.
        roadmap_id: id of its roadmap.
        tenant: its tenant, as stores name it.
        status: its status; ``cancelled`` if an earlier purge of it was interrupted.
        finished_at: when it ended; ``None`` if it has not ended.
        artifacts: number of its artifacts.
        interrupted: whether an earlier purge of the run was interrupted.
    """

    run_id: str
    roadmap_id: str
    tenant: str
    status: RunStatus
    finished_at: datetime | None
    artifacts: int
    interrupted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What was deleted with a run; after an interruption, what was left of it.

    Attributes:
        run_id: id of the run.
        artifacts: number of artifacts.
        versions: number of older versions of artifacts.
        journal: number of journaled results of steps.
        deliveries: number of deliveries that waited for sinks, with dead letters.
    """

    run_id: str
    artifacts: int = 0
    versions: int = 0
    journal: int = 0
    deliveries: int = 0


class RetentionStore(ABC):
    """Deletes runs with everything that belongs to them."""

    @abstractmethod
    async def purgeable(
        self,
        *,
        tenants: Sequence[str] = (),
        older_than: float | None = None,
        limit: int = 100,
        after: PurgeableRun | None = None,
    ) -> Sequence[PurgeableRun]:
        """List runs that may be purged: interrupted purges first, then oldest first.

        A running run is not listed, unless the lease of its owner has expired.

        Args:
            tenants: only runs of these tenants; the empty name matches runs without a tenant.
            older_than: only runs that ended more than this many seconds ago. ``None`` also lists
                queued and paused runs.
            limit: maximum number of runs.
            after: only runs that follow this one, which is the last of the previous page.
        """

    @abstractmethod
    async def hide(
        self, run_id: str, *, tenants: Sequence[str] = (), older_than: float | None = None
    ) -> None:
        """Begin the purge of a run: from now on it does not exist for other methods.

        Further writes of its owner are refused. If the purge is interrupted, ``purgeable`` lists
        the run first. A hidden run stays hidden.

        Args:
            run_id: id of the run.
            tenants: hide it only if it belongs to one of these tenants.
            older_than: hide it only if it ended more than this many seconds ago.

        Raises:
            RunNotFound: no run has that id, or it is not one of those.
            RunInWork: it is running, and its owner's lease has not expired.
        """

    @abstractmethod
    async def purge(self, run_id: str) -> Purged:
        """Delete a hidden run completely, in short transactions.

        Artifacts that other runs took over from it stay; their ``adopted_from`` becomes
        ``purged``. A run that is not hidden stays as it is, and nothing is counted.
        """
