"""The contract of stored controls: pauses, changed limits, drained workers, and the audit log."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from paceline.contracts.controls import AuditEntry, Controls, LimitOverride, PauseTarget
from paceline.contracts.storage.records import Claim, RunStatus


class ControlStore(ABC):
    """Keeps controls. Each change and its line of the audit log are one transaction.

    Changes of all processes are made one after the other. So a reader that has seen a version
    has seen all earlier ones.
    """

    @abstractmethod
    async def controls(self) -> Controls:
        """Return all controls."""

    @abstractmethod
    async def set_pause(self, target: PauseTarget, *, paused: bool, entry: AuditEntry) -> Controls:
        """Pause a target with the reason and actor of ``entry``, or lift its pause.

        To pause what is paused replaces the reason. To lift what is not paused changes nothing,
        and leaves no line in the log.

        Returns:
            The controls after the change.

        Raises:
            UsageError: there are ``MAX_CONTROLS`` controls already.
        """

    @abstractmethod
    async def set_limit(
        self, limit: str, key: str, values: Mapping[str, int] | None, *, entry: AuditEntry
    ) -> LimitOverride:
        """Add numbers to those that replace the settings of a limit; remove all for ``None``.

        A limit that was reset stays known without numbers, so that its version still rises.

        Returns:
            The numbers after the change, with their version.

        Raises:
            UsageError: there are ``MAX_CONTROLS`` controls already.
        """

    @abstractmethod
    async def request_drain(self, worker_id: str, *, entry: AuditEntry) -> bool:
        """Ask a worker to drain; returns whether a worker with a recent beat has that id."""

    @abstractmethod
    async def add_audit(self, entry: AuditEntry) -> None:
        """Add a line to the log, about a change that was made by another method."""

    @abstractmethod
    async def audit_log(
        self, *, tenants: Sequence[str] = (), limit: int = 100, before: int | None = None
    ) -> Sequence[AuditEntry]:
        """List lines of the log, newest first.

        Args:
            tenants: only lines that concern one of these tenants; all lines if empty.
            limit: maximum number of lines.
            before: only lines with a smaller number.
        """

    @abstractmethod
    async def pause_held(self, claim: Claim, reason: str) -> RunStatus | None:
        """Pause the run of a claim until the pause of its tenant is lifted.

        If its cancel or pause was requested, it is cancelled, or paused for that reason.

        Returns:
            The new status of the run; ``None`` if the claim does not own it any more.
        """

    @abstractmethod
    async def resume_held(self, executor: str, *, limit: int = 100) -> Sequence[str]:
        """Queue runs again that ``pause_held`` paused, if their tenant is no longer paused.

        Args:
            executor: only runs of this executor.
            limit: maximum number of runs.

        Returns:
            Ids of the runs that were queued.
        """
