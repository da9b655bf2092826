"""Runs in memory: submit, find, list, read."""

from abc import ABC
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from paceline import Artifact, ConceptState, Roadmap, Run, RunNotFound, Share, Store
from paceline.contracts.identity import new_run_id
from paceline.contracts.records import ConceptStatus, RunStatus
from paceline.contracts.share import DEFAULT_SHARE
from paceline.contracts.store_rules import key_reused_error, run_conflict_error

from paceline_adapters.memory.rows import Queues, Row


class MemoryRuns(Store, ABC):
    """The part of the memory store without owners and workers."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._origin: datetime | None = None
        self._rows: dict[str, Row] = {}
        self._newest: dict[str, Row] = {}
        self._submissions: dict[str, Row] = {}
        self._queues = Queues()

    def _now(self) -> datetime:
        """The clock as a date. It starts at the date of the first call."""
        seconds = timedelta(seconds=self._clock())
        if self._origin is None:
            self._origin = datetime.now(UTC) - seconds
        return self._origin + seconds

    def _row(self, run_id: str) -> Row:
        try:
            return self._rows[run_id]
        except KeyError:
            raise RunNotFound(f"no run has the id {run_id!r}") from None

    async def create_run(
        self,
        roadmap: Roadmap,
        *,
        executor: str,
        new: bool = False,
        key: str | None = None,
        share: Share = DEFAULT_SHARE,
    ) -> tuple[Run, bool]:
        """Return the roadmap's newest run; create a queued run if the roadmap has none."""
        content_hash = roadmap.content_hash()
        known = None if key is None else self._submissions.get(key)
        if known is not None:
            if (known.content_hash, known.share) != (content_hash, share):
                raise key_reused_error(known.as_run())
            return known.as_run(), False
        newest = self._newest.get(roadmap.roadmap_id)
        if newest is not None and not new:
            if newest.content_hash != content_hash:
                raise run_conflict_error(newest.as_run())
            return newest.as_run(), False
        ids = [concept.concept_id for _, _, concept in roadmap.concepts()]
        row = Row(
            run_id=new_run_id(),
            roadmap=roadmap,
            content_hash=content_hash,
            status="queued",
            executor=executor,
            concepts={id_: ConceptState(concept_id=id_, status="pending") for id_ in ids},
            created_at=self._now(),
            share=share,
        )
        self._rows[row.run_id] = self._newest[roadmap.roadmap_id] = row
        if key is not None:
            self._submissions[key] = row
        self._queues.put(row)
        return row.as_run(), True

    async def run(self, run_id: str) -> Run:
        """Return one run."""
        return self._row(run_id).as_run()

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
                found.append(row.as_run())
        return found

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

    async def totals(self, run_id: str) -> tuple[int, int, float | None]:
        """Return prompt tokens, completion tokens and cost of a run's artifacts."""
        made = await self.artifacts(run_id)
        costs = [artifact.cost for artifact in made if artifact.cost is not None]
        return (
            sum(artifact.prompt_tokens for artifact in made),
            sum(artifact.completion_tokens for artifact in made),
            sum(costs) if costs else None,
        )
