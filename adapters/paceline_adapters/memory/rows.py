"""The rows of the memory store, and its queues of runs."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from paceline import Artifact, Claim, ConceptState, Roadmap, Run, Share
from paceline.contracts.records import RunStatus


@dataclass(slots=True, kw_only=True)
class Row:
    """One run, which changes in place."""

    run_id: str
    roadmap: Roadmap
    content_hash: str
    status: RunStatus
    executor: str
    concepts: dict[str, ConceptState]
    created_at: datetime
    share: Share
    artifacts: dict[tuple[str, str], Artifact] = field(
        default_factory=dict[tuple[str, str], Artifact]
    )
    reason: str | None = None
    fence: int = 0
    owner: str | None = None
    lease_until: float = 0.0
    cancel_requested: bool = False
    takeovers: int = 0
    artifacts_at_claim: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def owned_by(self, claim: Claim) -> bool:
        """Whether the claim still owns the run."""
        return (self.fence, self.owner, self.status) == (claim.fence, claim.worker_id, "running")

    def lost_owners(self) -> int:
        """Number of owners lost in a row without a new artifact, if the current one is lost too."""
        return 0 if len(self.artifacts) > self.artifacts_at_claim else self.takeovers + 1

    def as_run(self) -> Run:
        """The run as a record."""
        states = [concept.status for concept in self.concepts.values()]
        return Run(
            run_id=self.run_id,
            roadmap_id=self.roadmap.roadmap_id,
            title=self.roadmap.title,
            content_hash=self.content_hash,
            status=self.status,
            reason=self.reason,
            executor=self.executor,
            total=len(states),
            completed=states.count("completed"),
            failed=states.count("failed"),
            fence=self.fence,
            owner=self.owner,
            takeovers=self.takeovers,
            cancel_requested=self.cancel_requested,
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            share=self.share,
        )


class Queues:
    """Ids of the queued runs of each executor, oldest first. Ids rise with time."""

    def __init__(self) -> None:
        self._ids: dict[str, list[str]] = defaultdict(list)

    def put(self, row: Row) -> None:
        """Add a run."""
        insort(self._ids[row.executor], row.run_id)

    def drop(self, row: Row) -> None:
        """Remove a run if it is queued."""
        ids = self._ids[row.executor]
        index = bisect_left(ids, row.run_id)
        if ids[index : index + 1] == [row.run_id]:
            del ids[index]

    def first(self, executor: str, only: Iterable[str] | None) -> str | None:
        """The oldest run; of ``only`` if that is given."""
        ids = self._ids[executor]
        if only is None:
            return ids[0] if ids else None
        wanted = set(only)
        return next((run_id for run_id in ids if run_id in wanted), None)
