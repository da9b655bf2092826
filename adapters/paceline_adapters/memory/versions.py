"""Versions of artifacts in memory: list, request, restore."""

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from paceline import Artifact, Run, Store
from paceline.contracts.share import claim_order
from paceline.contracts.storage.records import ENDED, RunStatus
from paceline.contracts.storage.rules import run_in_work_error
from paceline.contracts.storage.seeds import Copy
from paceline.contracts.storage.versions import ArtifactMark, Revision

from paceline_adapters.memory.rows import Row


class MemoryVersions(Store, ABC):
    """The versions of the memory store."""

    _row: Callable[[str], Row]
    _rows: dict[str, Row]
    _clock: Callable[[], float]
    _now: Callable[[], datetime]
    _release: Callable[[Row, RunStatus, str | None], None]
    _add_artifact: Callable[[Row, Artifact], None]
    _add_end: Callable[[Row], None]

    async def marks(
        self, run_id: str, *, concepts: Sequence[str] | None = None
    ) -> Sequence[ArtifactMark]:
        """List artifacts without content."""
        wanted = None if concepts is None else set(concepts)
        return [
            ArtifactMark(
                concept_id=one.concept_id,
                step=one.step,
                version=one.version,
                model=one.model,
                stale=one.stale,
                input_hash=one.input_hash,
            )
            for one in await self.artifacts(run_id)
            if wanted is None or one.concept_id in wanted
        ]

    async def versions(self, run_id: str, concept_id: str, step: str) -> Sequence[Artifact]:
        """List all versions of an artifact by number."""
        row, place = self._rows.get(run_id), (concept_id, step)
        if row is None or place not in row.artifacts:
            return []
        past = (replace(one, current=False, changes=0, stale=False) for one in row.past[place])
        return sorted([row.artifacts[place], *past], key=lambda one: one.version)

    async def find_inputs(
        self, hashes: Sequence[str], tenants: Sequence[str]
    ) -> Mapping[str, Copy]:
        """Find current artifacts that were made from these inputs."""
        wanted = set(hashes)
        return {
            one.input_hash: Copy(run_id, *one.place)
            for run_id, row in self._rows.items()
            if row.share.tenant in tenants
            for one in row.artifacts.values()
            if one.input_hash is not None and one.input_hash in wanted
        }

    async def add_artifacts(
        self, run_id: str, artifacts: Sequence[Artifact], *, steps: Sequence[str]
    ) -> Run:
        """Add artifacts that were made outside."""
        row = self._row(run_id)
        if row.status in ("queued", "running"):
            raise run_in_work_error(row.as_run(self._clock()))
        for artifact in artifacts:
            if artifact.concept_id in row.concepts:
                row.add_version(replace(artifact, created_at=self._now()), 0, ())
                self._add_artifact(row, row.artifacts[artifact.place])
        row.complete_concepts(steps)
        if row.status in ENDED and row.status != "completed" and row.is_whole():
            row.status, row.reason, row.finished_at = "completed", None, self._now()
            self._add_end(row)
        return row.as_run(self._clock())

    async def request_revisions(
        self, run_id: str, requests: Sequence[Revision], *, executor: str
    ) -> Run:
        """Ask for new versions of artifacts, and queue the run if it has ended."""
        row = self._row(run_id)
        for one in requests:
            before = row.revisions.get(one.place)
            number = 1 if before is None else before.number + 1
            row.revisions[one.place] = replace(one, number=number, requested_at=self._now())
            row.journal.pop(one.place, None)
        if requests:
            ended = row.status in ENDED
            row.reopen_revised(skip_others=ended)
            if ended:
                row.takeovers, row.cancel_requested, row.executor = 0, False, executor
                row.claim_order = claim_order("high", self._clock())
                self._release(row, "queued", None)
            row.extended = row.extended or row.status == "running"
        return row.as_run(self._clock())

    async def revisions(self, run_id: str) -> Sequence[Revision]:
        """List the requests that no save has fulfilled."""
        row = self._rows.get(run_id)
        if row is None:
            return []
        order = {id_: index for index, id_ in enumerate(row.concepts)}
        requests = [one for one in row.revisions.values() if one.concept_id in order]
        return sorted(requests, key=lambda one: (order[one.concept_id], one.step))

    async def restore(
        self, run_id: str, concept_id: str, step: str, version: int, *, stale: Sequence[str] = ()
    ) -> Artifact | None:
        """Make an older version of an artifact current again."""
        row, place = self._row(run_id), (concept_id, step)
        current = row.artifacts.get(place)
        if current is None or current.version != version:
            current = row.restore(place, version)
            if current is None:
                return None
            row.mark_stale(concept_id, stale)
            self._add_artifact(row, current)
        row.revisions.pop(place, None)
        return current
