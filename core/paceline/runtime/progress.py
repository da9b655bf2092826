"""What a run tells of itself: how far it is, and each concept's way."""

from dataclasses import dataclass

from paceline.contracts.events import Event, EventType
from paceline.contracts.records import Claim, RunStatus
from paceline.runtime.event_publisher import EventPublisher

_REASON = 1000


@dataclass(slots=True)
class Progress:
    """Counts a run's finished concepts and puts its events into the outbox.

    Attributes:
        claim: the publisher's claim; its fence stands in every event.
        total: concepts of the run.
        outbox: where events go.
        finished: how many concepts completed or failed.
        failures: how many of them failed.
        skipped: how many the run was resumed without.
    """

    claim: Claim
    total: int
    outbox: EventPublisher
    finished: int = 0
    failures: int = 0
    skipped: int = 0

    def snapshot(self) -> None:
        """Say where the run stands: the first event of every claim."""
        self._put("content_generation_snapshot", "running")

    def generating(self, concept_id: str) -> None:
        """A concept was begun."""
        self._put("content_generation_progress", "generating", concept_id)

    def saved(self, concept_id: str, step: str | None, *, completed: bool) -> None:
        """An artifact is durable; it may have been the concept's last."""
        if completed:
            self.finished += 1
        status = "completed" if completed else "generating"
        self._put("content_generation_progress", status, concept_id, step=step)

    def failed(self, concept_id: str, reason: str) -> None:
        """A concept failed for good."""
        self.finished += 1
        self.failures += 1
        self._put("content_generation_progress", "failed", concept_id, reason=reason)

    def ended(self, status: RunStatus, reason: str | None) -> None:
        """The run ended: its last event."""
        self._put("content_generation_finished", status, reason=reason)

    def _put(
        self,
        kind: EventType,
        status: str,
        concept_id: str | None = None,
        *,
        step: str | None = None,
        reason: str | None = None,
    ) -> None:
        self.outbox.put(
            Event(
                type=kind,
                task_id=self.claim.run_id,
                roadmap_id=self.claim.roadmap_id,
                concept_id=concept_id,
                status=status,
                step=step,
                reason=None if reason is None else reason[:_REASON],
                progress_current=self.finished,
                progress_total=self.total,
                failed=self.failures,
                fence=self.claim.fence,
            )
        )
