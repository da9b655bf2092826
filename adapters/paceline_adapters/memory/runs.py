"""Runs in memory: submit, find, list, read."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from types import MappingProxyType

from paceline import Artifact, ConceptState, Roadmap, Run, Share, Store
from paceline.contracts.identity import new_run_id, run_id_at
from paceline.contracts.scope import WHOLE_ROADMAP, Scope
from paceline.contracts.share import DEFAULT_SHARE, claim_order, stored_names
from paceline.contracts.storage.budgets import to_nanos
from paceline.contracts.storage.records import (
    ConceptStatus,
    JournalEntry,
    RunPace,
    RunStatus,
)
from paceline.contracts.storage.rules import (
    key_reused_error,
    run_conflict_error,
    run_not_found_error,
)
from paceline.contracts.storage.run_search import FoundRuns, RunSearch, RunTotals
from paceline.contracts.storage.seeds import NO_SEEDS, Seeds
from paceline.contracts.storage.spending import RunSpending, Spent

from paceline_adapters.memory.rows import Queues, Row


def _at_no_cost(artifact: Artifact, run_id: str, now: datetime) -> Artifact:
    """The artifact as another run takes it over."""
    return replace(
        artifact,
        prompt_tokens=0,
        completion_tokens=0,
        cost=None if artifact.cost is None else 0.0,
        seconds=0.0,
        attempts=0,
        created_at=now,
        version=1,
        changes=1,
        adopted_from=artifact.adopted_from or run_id,
    )


class MemoryRuns(Store, ABC):
    """The part of the memory store without owners and workers."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._origin: datetime | None = None
        self._rows: dict[str, Row] = {}
        self._newest: dict[tuple[str, str], Row] = {}
        self._submissions: dict[str, Row] = {}
        self._queues = Queues()

    def _now(self) -> datetime:
        """The clock as a date. It starts at the date of the first call."""
        seconds = timedelta(seconds=self._clock())
        if self._origin is None:
            self._origin = datetime.now(UTC) - seconds
        return self._origin + seconds

    @staticmethod
    def _place(row: Row) -> tuple[str, str]:
        """Runs with the same value are runs of one roadmap and tenant."""
        return stored_names(row.share.tenant)[-1], row.roadmap.roadmap_id

    def _row(self, run_id: str) -> Row:
        try:
            return self._rows[run_id]
        except KeyError:
            raise run_not_found_error(run_id) from None

    async def create_run(
        self,
        roadmap: Roadmap,
        *,
        executor: str,
        new: bool = False,
        key: str | None = None,
        share: Share = DEFAULT_SHARE,
        context: Mapping[str, object] = MappingProxyType({}),
        scope: Scope = WHOLE_ROADMAP,
        seeds: Seeds = NO_SEEDS,
        budget: float | None = None,
    ) -> tuple[Run, bool]:
        """Return the tenant's newest run of the roadmap; create a queued run if it has none."""
        content_hash = roadmap.content_hash()
        known = None if key is None else self._submissions.get(key)
        if known is not None:
            if (known.content_hash, known.context, known.share) != (content_hash, context, share):
                raise key_reused_error(known.as_run(self._clock()))
            return known.as_run(self._clock()), False
        place = stored_names(share.tenant)[-1], roadmap.roadmap_id
        newest = self._newest.get(place)
        if newest is not None and not new:
            if (newest.content_hash, newest.context) != (content_hash, context):
                raise run_conflict_error(newest.as_run(self._clock()), content_hash)
            return newest.as_run(self._clock()), False
        ids = scope.concepts_of(roadmap)
        row = Row(
            run_id=new_run_id(),
            roadmap=roadmap,
            content_hash=content_hash,
            status="queued",
            executor=executor,
            concepts={id_: ConceptState(concept_id=id_, status="pending") for id_ in ids},
            created_at=self._now(),
            share=share,
            context=dict(context),
            scope=scope,
            budget=None if budget is None else to_nanos(budget),
            claim_order=claim_order(share.priority, self._clock()),
        )
        self._rows[row.run_id] = self._newest[place] = row
        if key is not None:
            self._submissions[key] = row
        self._seed(row, seeds)
        if row.status == "queued":
            self._queues.put(row)
        return row.as_run(self._clock()), True

    def _seed(self, row: Row, seeds: Seeds) -> None:
        """Give a new run its first artifacts, and the status that follows from them."""
        now = self._now()
        for copy in seeds.copies:
            source = self._rows.get(copy.run_id)
            found = None if source is None else source.artifacts.get(copy.place)
            if found is not None:
                row.add_version(_at_no_cost(found, copy.run_id, now), 0, ())
                self._add_artifact(row, row.artifacts[copy.place])
        for artifact in seeds.artifacts:
            row.add_version(replace(artifact, created_at=now), 0, ())
            self._add_artifact(row, row.artifacts[artifact.place])
        if seeds.copies or seeds.artifacts:
            row.complete_concepts(seeds.steps)
        if seeds.paused is not None:
            row.status, row.reason = "paused", seeds.paused
            if row.is_whole():
                row.status, row.reason, row.finished_at = "completed", None, now
                self._add_end(row)

    @abstractmethod
    def _add_artifact(self, row: Row, artifact: Artifact) -> None:
        """Add a version that became current to the outbox."""

    @abstractmethod
    def _add_end(self, row: Row) -> None:
        """Count the end of a run, and add it to the outbox."""

    async def run(self, run_id: str) -> Run:
        """Return one run."""
        return self._row(run_id).as_run(self._clock())

    async def runs(
        self,
        *,
        status: Sequence[RunStatus] = (),
        roadmap_id: str | None = None,
        tenants: Sequence[str] = (),
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Run]:
        """List runs, newest first."""
        found: list[Run] = []
        for row in reversed(self._rows.values()):
            if len(found) >= limit:
                break
            if (
                (not status or row.status in status)
                and roadmap_id in (None, row.roadmap.roadmap_id)
                and (not tenants or row.share.tenant in tenants)
                and (before is None or row.run_id < before)
            ):
                found.append(row.as_run(self._clock()))
        return found

    async def find_runs(
        self, search: RunSearch, *, limit: int = 50, after: str | None = None, totals: bool = False
    ) -> FoundRuns:
        """Find the next page of runs."""
        since = "" if search.since is None else run_id_at(search.since)
        until = "~" if search.until is None else run_id_at(search.until)
        rows = [
            row
            for row in self._rows.values()
            if since <= row.run_id < until
            and (not search.status or row.status in search.status)
            and search.roadmap_id in (None, row.roadmap.roadmap_id)
            and (not search.tenants or row.share.tenant in search.tenants)
            and search.has_text(row.run_id, row.roadmap.roadmap_id, row.roadmap.title)
        ]
        rows.sort(key=lambda row: row.run_id, reverse=not search.oldest_first)
        if after is not None:
            rows = [row for row in rows if (row.run_id > after) == search.oldest_first]
            rows = [row for row in rows if row.run_id != after]
        page = rows[:limit]
        return FoundRuns(
            runs=[row.as_run(self._clock()) for row in page],
            cursor=page[-1].run_id if len(page) == limit else None,
            totals={row.run_id: await self._totals(row) for row in page} if totals else {},
        )

    async def _totals(self, row: Row) -> RunTotals:
        spending = await self.spending(row.run_id)
        return RunTotals(artifacts=len(row.artifacts), spent=spending.total)

    async def roadmap(self, run_id: str) -> Roadmap:
        """Return the roadmap that a run was created with."""
        return self._row(run_id).roadmap

    async def concepts(
        self,
        run_id: str,
        *,
        status: Sequence[ConceptStatus] = (),
        limit: int | None = None,
        after: str | None = None,
    ) -> Sequence[ConceptState]:
        """List concepts of a run in the order of the roadmap."""
        states = list(self._row(run_id).concepts.values())
        if after is not None:
            ids = [state.concept_id for state in states]
            states = states[ids.index(after) + 1 :] if after in ids else []
        found = [state for state in states if not status or state.status in status]
        return found if limit is None else found[:limit]

    async def concept(self, run_id: str, concept_id: str) -> ConceptState | None:
        """Return one concept of a run; ``None`` if it does not exist."""
        row = self._rows.get(run_id)
        return None if row is None else row.concepts.get(concept_id)

    async def artifact_steps(
        self, run_id: str, *, concepts: Sequence[str] | None = None
    ) -> Mapping[str, frozenset[str]]:
        """Return the steps with an artifact by concept id: of ``concepts``, or of all."""
        steps: dict[str, set[str]] = defaultdict(set)
        wanted = None if concepts is None else frozenset(concepts)
        for artifact in await self.artifacts(run_id):
            if wanted is None or artifact.concept_id in wanted:
                steps[artifact.concept_id].add(artifact.step)
        return {concept_id: frozenset(made) for concept_id, made in steps.items()}

    async def artifacts(
        self, run_id: str, *, concept_id: str | None = None, step: str | None = None
    ) -> Sequence[Artifact]:
        """List artifacts with their content, in the order of the roadmap and of time."""
        row = self._rows.get(run_id)
        if row is None:
            return []
        order = {id_: index for index, id_ in enumerate(row.concepts)}
        return sorted(
            (
                artifact
                for artifact in row.artifacts.values()
                if concept_id in (None, artifact.concept_id) and step in (None, artifact.step)
            ),
            key=lambda artifact: order.get(artifact.concept_id, -1),
        )

    async def journal(self, run_id: str, concept_id: str) -> Sequence[JournalEntry]:
        """Return the recorded results of a concept, oldest first of each step."""
        row = self._rows.get(run_id)
        if row is None:
            return []
        return [
            entry
            for (concept, _), entries in row.journal.items()
            if concept == concept_id
            for entry in entries.values()
        ]

    async def run_paces(self, run_ids: Sequence[str]) -> Sequence[RunPace]:
        """Return how far queued and running runs are."""
        rows = (self._rows.get(run_id) for run_id in run_ids)
        return [
            row.pace(self._clock())
            for row in rows
            if row is not None and row.status in ("queued", "running")
        ]

    async def spending(self, run_id: str) -> RunSpending:
        """Return what a run has cost so far."""
        row = self._rows.get(run_id)
        if row is None:
            return RunSpending()
        versions = chain(row.artifacts.values(), *row.past.values())
        saved = (artifact.spent for artifact in versions)
        unsaved = list(row.unsaved())
        again = (
            spent
            for concept_id, step, fence, spent in unsaved
            # A revision that failed after the artifact was saved did not pay it twice.
            if not concept_id or fence <= row.saved_by.get((concept_id, step), 0)
        )
        return RunSpending(
            saved=sum(saved, start=Spent()),
            unsaved=sum((spent for *_, spent in unsaved), start=Spent()),
            duplicates=sum(again, start=Spent()),
        )
