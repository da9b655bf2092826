"""The rows of the memory store, and its queues of runs."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from paceline import Artifact, Claim, ConceptState, Roadmap, Run, Share
from paceline.contracts.scope import WHOLE_ROADMAP, Scope
from paceline.contracts.storage.budgets import Shortage, from_nanos
from paceline.contracts.storage.records import JournalEntry, RunPace, RunStatus
from paceline.contracts.storage.spending import Charge, Spent
from paceline.contracts.storage.timeline import MAX_PHASES, StepTimes
from paceline.contracts.storage.versions import Revision

#: Stands for a fence: claims begin with 1.
_ARTIFACT = 0


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
    #: Versions that are not current, by concept and step, oldest first.
    past: defaultdict[tuple[str, str], list[Artifact]] = field(
        default_factory=lambda: defaultdict[tuple[str, str], list[Artifact]](list)
    )
    #: Requests for revisions, by concept and step.
    revisions: dict[tuple[str, str], Revision] = field(
        default_factory=dict[tuple[str, str], Revision]
    )
    #: What each claim did on a step without an artifact, and when that was recorded last.
    unsaved_work: dict[tuple[str, str, int], tuple[Charge, datetime]] = field(
        default_factory=dict[tuple[str, str, int], tuple[Charge, datetime]]
    )
    #: Fence of the claim that saved the current version.
    saved_by: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    #: Results of steps by concept and step, and by version and name.
    journal: defaultdict[tuple[str, str], dict[tuple[int, str], JournalEntry]] = field(
        default_factory=lambda: defaultdict[tuple[str, str], dict[tuple[int, str], JournalEntry]](
            dict
        )
    )
    reason: str | None = None
    fence: int = 0
    owner: str | None = None
    lease_until: float = 0.0
    cancel_requested: bool = False
    pause_requested: str | None = None
    #: What each concept has cost: by step, and by fence, with 0 for the artifact itself.
    spent: defaultdict[str, dict[tuple[str, int], Spent]] = field(
        default_factory=lambda: defaultdict[str, dict[tuple[str, int], Spent]](dict)
    )
    claimed_at: float = 0.0
    seconds: float = 0.0
    takeovers: int = 0
    artifacts_at_claim: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    context: Mapping[str, object] = field(default_factory=dict[str, object])
    scope: Scope = WHOLE_ROADMAP
    #: Whether the scope was widened after the claim.
    extended: bool = False
    ends: int = 0
    #: The run's own budget in nanos, and the limit that paused it.
    budget: int | None = None
    short_of: Shortage | None = None
    #: Its place in the queue.
    claim_order: int = 0
    #: Whether the pause of its tenant paused the run.
    held: bool = False

    def owned_by(self, claim: Claim) -> bool:
        """Whether the claim still owns the run."""
        return (self.fence, self.owner, self.status) == (claim.fence, claim.worker_id, "running")

    def saves(self) -> int:
        """Number of versions of artifacts that were saved."""
        return len(self.artifacts) + sum(map(len, self.past.values()))

    def pace(self, now: float) -> RunPace:
        """How far the run is; ``now`` is by the clock of its claim."""
        pending = {one.concept_id for one in self.concepts.values() if one.status == "pending"}
        running = self.status == "running"
        return RunPace(
            run_id=self.run_id,
            seconds=now - self.claimed_at if running else 0.0,
            made=self.saves() - self.artifacts_at_claim if running else 0,
            pending=len(pending),
            saved=sum(concept_id in pending for concept_id, _ in self.artifacts),
        )

    def lost_owners(self) -> int:
        """Number of owners lost in a row without a new artifact, if the current one is lost too."""
        return 0 if self.saves() > self.artifacts_at_claim else self.takeovers + 1

    def add_artifact(self, artifact: Artifact, fence: int) -> None:
        """Save an artifact, unless its step has one. It includes what this claim paid before."""
        concept_id, step = artifact.place
        self._drop_charge(concept_id, step, fence)
        if self.artifacts.setdefault(artifact.place, artifact) is artifact:
            self.spent[concept_id][step, _ARTIFACT] = artifact.spent
            self.saved_by[artifact.place] = fence

    def _drop_charge(self, concept_id: str, step: str, fence: int) -> None:
        self.spent[concept_id].pop((step, fence), None)
        self.unsaved_work.pop((concept_id, step, fence), None)

    def add_version(self, artifact: Artifact, fence: int, stale: Iterable[str]) -> None:
        """Make an artifact the current version, and keep the one before it."""
        place, (concept_id, step) = artifact.place, artifact.place
        self._drop_charge(concept_id, step, fence)
        current = self.artifacts.get(place)
        if current is not None:
            self.past[place].append(current)
            newest = max(one.version for one in self.past[place])
            artifact = replace(artifact, version=newest + 1, changes=current.changes + 1)
        self.artifacts[place] = artifact
        self.saved_by[place] = fence
        self.spent[concept_id][step, _ARTIFACT] = sum(
            (one.spent for one in self.past[place]), start=artifact.spent
        )
        self.mark_stale(concept_id, stale)

    def restore(self, place: tuple[str, str], version: int) -> Artifact | None:
        """Make a past version current; ``None`` if it does not exist."""
        current = self.artifacts.get(place)
        found = next((one for one in self.past[place] if one.version == version), None)
        if current is None or found is None:
            return None
        self.past[place].remove(found)
        self.past[place].append(current)
        self.artifacts[place] = replace(found, changes=current.changes + 1, stale=False)
        return self.artifacts[place]

    def mark_stale(self, concept_id: str, steps: Iterable[str]) -> None:
        """Mark the artifacts of steps as made from an earlier version."""
        for step in steps:
            if (concept_id, step) in self.artifacts:
                current = self.artifacts[concept_id, step]
                self.artifacts[concept_id, step] = replace(current, stale=True)

    def complete_concepts(self, steps: Iterable[str]) -> None:
        """Complete the concepts that have artifacts of all steps."""
        for id_, state in self.concepts.items():
            if all((id_, step) in self.artifacts for step in steps):
                self.concepts[id_] = ConceptState(
                    concept_id=id_, status="completed", attempts=state.attempts
                )

    def is_whole(self) -> bool:
        """Whether every concept is completed."""
        return all(state.status == "completed" for state in self.concepts.values())

    def reopen_revised(self, *, skip_others: bool = False) -> None:
        """Set concepts with a request to ``pending``; see the contract of stores."""
        requested = {concept_id for concept_id, _ in self.revisions}
        for id_, state in self.concepts.items():
            reopened = ("completed", "failed", "skipped") if skip_others else ("completed",)
            if id_ in requested and state.status in reopened:
                self.concepts[id_] = ConceptState(
                    concept_id=id_, status="pending", attempts=state.attempts
                )
            elif skip_others and id_ not in requested and state.status == "pending":
                self.concepts[id_] = replace(state, status="skipped")

    def charge(self, fence: int, charge: Charge, at: datetime) -> None:
        """Record what a step has cost so far."""
        self.unsaved_work[charge.concept_id, charge.step, fence] = charge, at
        self.spent[charge.concept_id][charge.step, fence] = charge.spent
        self.count_attempts(charge.concept_id)

    def unsaved(self) -> Iterator[tuple[str, str, int, Spent]]:
        """What was paid without an artifact: concept, step, fence and cost."""
        for concept_id, spent in self.spent.items():
            for (step, fence), one in spent.items():
                if fence != _ARTIFACT:
                    yield concept_id, step, fence, one

    def charged(self, place: tuple[str, str]) -> Spent:
        """What was paid for a step without an artifact."""
        concept_id, name = place
        paid = (
            spent
            for (step, fence), spent in self.spent[concept_id].items()
            if step == name and fence != _ARTIFACT
        )
        return sum(paid, start=Spent())

    def timeline(self, concepts: Collection[str]) -> list[StepTimes]:
        """When the steps of some concepts made their artifacts, or failed."""
        times = [
            StepTimes(
                concept_id=one.concept_id,
                step=one.step,
                ended_at=one.created_at or self.created_at,
                seconds=one.seconds,
                attempts=one.attempts,
                version=one.version,
                model=one.model,
                adopted=one.adopted_from is not None,
                phases=one.phases[:MAX_PHASES],
            )
            for one in self.artifacts.values()
            if one.concept_id in concepts
        ]
        times += [
            StepTimes(
                concept_id=charge.concept_id,
                step=charge.step,
                ended_at=at,
                seconds=charge.seconds,
                attempts=charge.spent.attempts,
                saved=False,
                version=0,
                phases=charge.phases,
            )
            for charge, at in self.unsaved_work.values()
            if charge.concept_id in concepts
        ]
        return times

    def count_attempts(self, concept_id: str) -> None:
        """Sum up the attempts of a concept over all claims."""
        state = self.concepts.get(concept_id)
        if state is not None:
            attempts = sum(one.attempts for one in self.spent[concept_id].values())
            self.concepts[concept_id] = replace(state, attempts=attempts)

    def as_run(self, now: float) -> Run:
        """The run as a record; ``now`` is the clock of the store."""
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
            pause_requested=self.pause_requested,
            seconds=self.seconds + (now - self.claimed_at if self.status == "running" else 0.0),
            context=self.context,
            steps=self.scope.steps,
            only=self.scope.only,
            budget=None if self.budget is None else from_nanos(self.budget),
        )


class Queues:
    """Ids of the queued runs of each executor, in the order of their claims."""

    def __init__(self) -> None:
        self._ids: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def put(self, row: Row) -> None:
        """Add a run."""
        insort(self._ids[row.executor], (row.claim_order, row.run_id))

    def drop(self, row: Row) -> None:
        """Remove a run if it is queued."""
        ids, place = self._ids[row.executor], (row.claim_order, row.run_id)
        index = bisect_left(ids, place)
        if ids[index : index + 1] == [place]:
            del ids[index]

    def first(self, executor: str, only: Iterable[str] | None) -> str | None:
        """The next run; of ``only`` if that is given."""
        queued = self._ids[executor]
        if only is None:
            return queued[0][1] if queued else None
        wanted = set(only)
        return next((run_id for _, run_id in queued if run_id in wanted), None)
