"""The part of the client that takes over artifacts: of earlier runs, and from files."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

from paceline.client.content.adoption import Adoption, explained, plan_adoption, plan_reuse
from paceline.client.content.importing import Importer
from paceline.client.render import steps_of
from paceline.client.run_request import RunRequest
from paceline.client.tenant_scope import TenantScope
from paceline.contracts.scope import Scope
from paceline.contracts.share import DEFAULT_SHARE, Share, stored_names
from paceline.contracts.storage.records import Artifact, Run
from paceline.contracts.storage.seeds import NO_SEEDS, Copy, Seeds
from paceline.contracts.storage.store import Store
from paceline.generation.parts import ClientParts
from paceline.roadmaps.model import Roadmap
from paceline.settings.model import Settings
from paceline.steps.inputs import Inputs


class AdoptionClient(ABC):
    """Plans and explains what new runs take over, and imports content; see ``Client``."""

    _scope: TenantScope
    _parts: ClientParts
    settings: Settings
    store: Store

    @abstractmethod
    async def run(self, run_id: str) -> Run:
        """One run of the client's tenant."""

    @abstractmethod
    async def check_request(
        self, roadmap: Roadmap, request: RunRequest
    ) -> tuple[Mapping[str, object], Scope]:
        """Check the context and scope of a submission."""

    async def adoption(
        self, roadmap: Roadmap, request: RunRequest, share: Share = DEFAULT_SHARE
    ) -> Adoption:
        """What ``submit`` with ``adopt`` would take over, and what it would make.

        Raises:
            ContextError: the context is not valid.
            UsageError: ``steps`` or ``only`` name something unknown.
        """
        context, scope = await self.check_request(roadmap, request)
        return await self._adoption(roadmap, context, scope, self._scope.share(share))

    async def explain_inputs(
        self, roadmap: Roadmap, request: RunRequest
    ) -> Mapping[tuple[str, str], Mapping[str, object]]:
        """What each artifact would be made from, with its hash, by concept and step.

        Raises:
            ContextError: the context is not valid.
            UsageError: ``steps`` or ``only`` name something unknown.
        """
        context, scope = await self.check_request(roadmap, request)
        return explained(roadmap, scope, self._inputs(context))

    async def _adoption(
        self, roadmap: Roadmap, context: Mapping[str, object], scope: Scope, share: Share
    ) -> Adoption:
        newest = await self.store.runs(
            roadmap_id=roadmap.roadmap_id, tenants=stored_names(share.tenant), limit=1
        )
        source = newest[0] if newest else None
        return await plan_adoption(self.store, source, roadmap, scope, self._inputs(context))

    async def _reused(
        self, roadmap: Roadmap, context: Mapping[str, object], scope: Scope, share: Share
    ) -> Sequence[Copy]:
        tenants = stored_names(share.tenant)
        return await plan_reuse(self.store, tenants, roadmap, scope, self._inputs(context))

    def _inputs(self, context: Mapping[str, object]) -> Inputs:
        graph = self._parts.graph()
        return Inputs(self.settings, graph.steps, graph.needs, context)

    async def _first_artifacts(
        self,
        roadmap: Roadmap,
        context: Mapping[str, object],
        scope: Scope,
        share: Share,
        *,
        adopt: bool,
    ) -> tuple[Seeds, bool]:
        """The artifacts that a new run takes over, and whether ``adopt`` needs a new run.

        It does not if the earlier run is the same, even if it has not made everything yet.
        """
        copies: Sequence[Copy] = ()
        changed = False
        if adopt:
            found = await self._adoption(roadmap, context, scope, share)
            source = found.source
            if source is not None:
                same = (source.content_hash, source.context) == (roadmap.content_hash(), context)
                changed = not same or bool(found.outdated)
                copies = found.copies if changed else ()
        if not copies and self.settings.run.reuse == "tenant":
            copies = await self._reused(roadmap, context, scope, share)
        if not copies:
            return NO_SEEDS, changed
        steps = self.settings.run.steps if scope.steps is None else scope.steps
        return Seeds(steps=tuple(steps), copies=tuple(copies)), changed

    async def import_into(
        self, run_id: str, sources: Iterable[tuple[str, Iterable[bytes]]], *, dry_run: bool = False
    ) -> tuple[Run, int]:
        """Add content that exists elsewhere to a run, each artifact as a new current version.

        Args:
            run_id: the run; it must not be queued or running.
            sources: files, each as its name and its lines; see ``importing`` for the format.
            dry_run: check everything, and store nothing.

        Returns:
            The run, and the number of artifacts.

        Raises:
            ImportFaults: lines are not valid; the error has every fault, and nothing is stored.
            RunInWork: the run is queued or running.
            RunNotFound: there is no such run.
        """
        run, roadmap = await self.run(run_id), await self.store.roadmap(run_id)
        found = self._read(sources, roadmap, run.scope, run.context)
        if not dry_run:
            steps = steps_of(self.settings, run)
            run = await self.store.add_artifacts(run_id, found, steps=steps)
        return run, len(found)

    async def import_roadmap(
        self,
        roadmap: Roadmap,
        request: RunRequest,
        sources: Iterable[tuple[str, Iterable[bytes]]],
        *,
        share: Share = DEFAULT_SHARE,
        new: bool = False,
        dry_run: bool = False,
    ) -> tuple[Run | None, int]:
        """Start a run of a roadmap with content that exists elsewhere.

        The run is completed if the content is complete, else paused: ``resume`` makes what is
        missing. If the roadmap has the same run already, the content is added to it.

        Args:
            roadmap: the roadmap.
            request: context and scope of the run.
            sources: as for ``import_into``.
            share: tenant and weight of the run.
            new: start a run even if the roadmap has one.
            dry_run: check everything, and store nothing; the run is then ``None``.

        Returns:
            The run, and the number of artifacts.

        Raises:
            ImportFaults: lines are not valid; the error has every fault, and nothing is stored.
            RunConflict: the roadmap has a run with other content or another context.
            RunInWork: the roadmap's run is queued or running.
            ContextError: the context is not valid.
            UsageError: ``steps`` or ``only`` name something unknown.
        """
        share = self._scope.share(share)
        context, scope = await self.check_request(roadmap, request)
        found = self._read(sources, roadmap, scope, context)
        if dry_run:
            return None, len(found)
        steps = tuple(self.settings.run.steps if scope.steps is None else scope.steps)
        run, created = await self.store.create_run(
            roadmap,
            executor=self.settings.executor,
            new=new,
            share=share,
            context=context,
            scope=scope,
            seeds=Seeds(steps=steps, artifacts=tuple(found), paused="imported"),
        )
        if not created:
            run = await self.store.add_artifacts(run.run_id, found, steps=steps)
        return run, len(found)

    def _read(
        self,
        sources: Iterable[tuple[str, Iterable[bytes]]],
        roadmap: Roadmap,
        scope: Scope,
        context: Mapping[str, object],
    ) -> Sequence[Artifact]:
        within = set(scope.concepts_of(roadmap))
        concepts = {
            concept.concept_id: concept
            for _, _, concept in roadmap.concepts()
            if concept.concept_id in within
        }
        steps = {
            name: step
            for name, step in self._parts.graph().steps
            if scope.steps is None or name in scope.steps
        }
        importer = Importer(concepts, steps, self._inputs(context))
        for name, lines in sources:
            importer.read(name, lines)
        return importer.artifacts()
