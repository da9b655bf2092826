"""A run's progress: counts, and the events that report them."""

from dataclasses import dataclass

from paceline.contracts.events import Event, EventType
from paceline.contracts.storage.records import Claim, RunStatus
from paceline.generation.event_publisher import EventPublisher

_REASON = 1000


@dataclass(slots=True)
class Progress:
    """Counts a run's finished concepts and publishes its events, with the fence of its claim.

    ``finished`` counts completed and failed concepts, and ``skipped`` those that the run was
    resumed without.
    """

    claim: Claim
    total: int
    publisher: EventPublisher
    finished: int = 0
    failures: int = 0
    skipped: int = 0

    def snapshot(self) -> None:
        """Publish the state of the run: the first event of every claim."""
        self._put("content_generation_snapshot", "running")

    def generating(self, concept_id: str) -> None:
        """A concept started."""
        self._put("content_generation_progress", "generating", concept_id)

    def saved(self, concept_id: str, step: str | None, *, completed: bool) -> None:
        """An artifact was committed; ``completed`` if it was the concept's last."""
        if completed:
            self.finished += 1
        status = "completed" if completed else "generating"
        self._put("content_generation_progress", status, concept_id, step=step)

    def note(self, concept_id: str, step: str, note: str) -> None:
        """A step published a note."""
        self._put("content_generation_note", "generating", concept_id, step=step, reason=note)

    def notice(self, text: str) -> None:
        """A strategy has a note on the run."""
        self._put("content_generation_note", "running", reason=text)

    def failed(self, concept_id: str, reason: str) -> None:
        """A concept failed."""
        self.finished += 1
        self.failures += 1
        self._put("content_generation_progress", "failed", concept_id, reason=reason)

    def waiting(self, reason: str | None) -> None:
        """Calls have waited for long, for this reason; with ``None`` they no longer do."""
        self._put("content_generation_snapshot", "running", reason=reason)

    def paused(self, reason: str | None) -> None:
        """The run is paused: no event follows until it is resumed."""
        self._put("content_generation_snapshot", "paused", reason=reason)

    def ended(self, status: RunStatus, reason: str | None) -> None:
        """Publish the last event of the run."""
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
        self.publisher.put(
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
