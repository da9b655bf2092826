"""The part of the client that makes artifacts again and restores older versions."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from paceline.client.content.revising import (
    Condition,
    NoSuchVersion,
    check_places,
    check_step,
    select,
    with_downstream,
)
from paceline.client.render import steps_of
from paceline.client.tenant_scope import TenantScope
from paceline.contracts.executor import Executor
from paceline.contracts.storage.records import Artifact, Run
from paceline.contracts.storage.store import Store
from paceline.contracts.storage.versions import Revision
from paceline.generation.parts import ClientParts
from paceline.settings.model import Settings


class RevisionClient(ABC):
    """Selects, revises and restores artifacts; see ``Client``."""

    _scope: TenantScope
    _parts: ClientParts
    settings: Settings
    store: Store
    executor: Executor

    @abstractmethod
    async def run(self, run_id: str) -> Run:
        """One run of the client's tenant."""

    async def select(
        self, run_id: str, *, step: str | None = None, where: str | None = None
    ) -> Sequence[tuple[str, str]]:
        """Select artifacts of a run for ``revise``, in the order of the roadmap.

        Args:
            run_id: the run.
            step: select only artifacts of this step.
            where: ``stale``: what they were made from has another version since; ``failed``:
                they are missing because they failed, or their revision failed; ``model=NAME``:
                this model wrote them. All artifacts if ``None``.

        Returns:
            Concept and step of each.

        Raises:
            RunNotFound: there is no such run.
            UsageError: ``step`` or ``where`` is unknown.
        """
        run, condition = await self.run(run_id), Condition.parse(where)
        steps = steps_of(self.settings, run)
        if step is not None:
            check_step(run_id, step, steps)
        return await select(self.store, run_id, condition, steps=steps, only=step)

    async def revise(
        self,
        run_id: str,
        artifacts: Sequence[tuple[str, str]],
        *,
        instruction: str | None = None,
        downstream: bool = False,
        requested_by: str | None = None,
    ) -> tuple[Run, Sequence[tuple[str, str]]]:
        """Make artifacts again: the run continues with them, and keeps their current versions.

        Readers see the current version until the new one is saved. If the new one fails, the
        current one stays, and ``resume`` tries again. A run in work adds the revisions when it
        has finished its present part; a paused run waits until it is resumed.

        Args:
            run_id: the run.
            artifacts: concept and step of each artifact.
            instruction: what to change, for the model.
            downstream: also make the artifacts again that were made from these. Without it they
                become stale.
            requested_by: name of the person or program, as free text; kept with the version.

        Returns:
            The run, and concept and step of every artifact that is made again.

        Raises:
            RunNotFound: there is no such run.
            UsageError: a concept or step is unknown, or a text is too long.
            PartUnavailable: the store or the broker cannot be reached.
        """
        requests = await self._requests(
            run_id,
            artifacts,
            instruction=instruction,
            downstream=downstream,
            requested_by=requested_by,
        )
        executor = self.settings.executor
        run = await self.store.request_revisions(run_id, requests, executor=executor)
        if requests and run.status == "queued":
            await self.executor.submit(run_id)
        return run, [one.place for one in requests]

    async def revised(
        self, run_id: str, artifacts: Sequence[tuple[str, str]], *, downstream: bool = False
    ) -> Sequence[tuple[str, str]]:
        """What ``revise`` would make again, as concept and step; nothing changes.

        Raises:
            RunNotFound: there is no such run.
            UsageError: a concept or step is unknown.
        """
        requests = await self._requests(run_id, artifacts, downstream=downstream)
        return [one.place for one in requests]

    async def _requests(
        self,
        run_id: str,
        artifacts: Sequence[tuple[str, str]],
        *,
        instruction: str | None = None,
        downstream: bool = False,
        requested_by: str | None = None,
    ) -> Sequence[Revision]:
        run = await self.run(run_id)
        states = {one.concept_id: one for one in await self.store.concepts(run_id)}
        check_places(run_id, artifacts, states, steps_of(self.settings, run))
        tenant = self._scope.tenant or run.share.tenant
        requests = [
            Revision(
                concept_id=concept_id,
                step=step,
                instruction=instruction,
                tenant=tenant,
                requested_by=requested_by,
            )
            for concept_id, step in dict.fromkeys(artifacts)
        ]
        if downstream:
            return await with_downstream(self.store, run_id, requests, self._parts.graph())
        return requests

    async def versions(self, run_id: str, concept_id: str, step: str) -> Sequence[Artifact]:
        """All versions of an artifact by number; one of them is ``current``.

        Raises:
            RunNotFound: there is no such run.
        """
        await self.run(run_id)
        return await self.store.versions(run_id, concept_id, step)

    async def restore(
        self, run_id: str, concept_id: str, step: str, version: int | None = None
    ) -> Artifact:
        """Make an older version of an artifact current; nothing is generated.

        A pending revision of the artifact is withdrawn. Artifacts that were made from it become
        stale.

        Args:
            run_id: the run.
            concept_id: the concept.
            step: the step.
            version: number of the version; the newest that is not current if ``None``.

        Returns:
            The artifact, which is now current.

        Raises:
            RunNotFound: there is no such run.
            NoSuchVersion: there is no such version.
        """
        versions = await self.versions(run_id, concept_id, step)
        if version is None:
            past = [one.version for one in versions if not one.current]
            version = past[-1] if past else 0
        stale = self._parts.graph().dependents(step)
        restored = await self.store.restore(run_id, concept_id, step, version, stale=stale)
        if restored is None:
            have = ", ".join(str(one.version) for one in versions) or "none"
            wanted = f"version {version}" if version else "an older version"
            raise NoSuchVersion(
                f"{step} of concept {concept_id!r} does not have {wanted} (versions: {have})"
            )
        return restored
