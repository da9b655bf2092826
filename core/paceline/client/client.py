"""The client: submit, resume, pause, cancel, follow and read runs. CLI, API and programs use it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from paceline.client.content.adoption_client import AdoptionClient
from paceline.client.content.revision_client import RevisionClient
from paceline.client.context_schema import check_context_schema
from paceline.client.control_client import ControlClient
from paceline.client.cost_client import CostClient
from paceline.client.follow import follow
from paceline.client.purge_client import PurgeClient
from paceline.client.run_request import RunRequest
from paceline.client.tenant_scope import TenantScope, key_of_tenant
from paceline.contracts.events import Event
from paceline.contracts.run_context import checked_context
from paceline.contracts.scope import Scope, checked_steps, names_of
from paceline.contracts.share import DEFAULT_SHARE, Share, check_tenant
from paceline.contracts.storage.budgets import MAX_BUDGET
from paceline.contracts.storage.records import Artifact, ResumeOnly, Run, RunStatus
from paceline.contracts.storage.run_search import FoundRuns, RunSearch
from paceline.contracts.storage.seeds import Seeds
from paceline.errors import UsageError
from paceline.generation.parts import ClientParts
from paceline.roadmaps.model import Roadmap
from paceline.runtime.recovery import recover

#: What a submission led to: a new run, an unfinished run that continues, a run that a worker
#: works on already, or a run with nothing left to do.
Submitted = Literal["created", "resumed", "attached", "complete"]


class NothingToResume(UsageError):
    """The run has not ended, or none of its concepts is in the state that was asked for."""


class Client(AdoptionClient, RevisionClient, PurgeClient, CostClient, ControlClient):
    """Submits, steers, follows and reads runs. Open one with ``App.client``.

    A client of a tenant submits runs of that tenant. For its methods, runs of other tenants do
    not exist. Its parts (``store``, ``executor`` and ``bus``) know the runs of all tenants.

    Args:
        parts: the parts of this process.
        worker_id: id of the worker that works with the same parts, if there is one.
        tenant: the tenant of the client; ``None`` for a client of all tenants.

    Attributes:
        settings: the effective settings.
        store: where runs are kept.
        executor: where runs are submitted.
        bus: the event bus.
        telemetry: traces and metrics.
    """

    def __init__(
        self, parts: ClientParts, *, worker_id: str | None = None, tenant: str | None = None
    ) -> None:
        self._scope = TenantScope(tenant)
        self._parts = parts
        self.settings = parts.settings
        self.store = parts.store
        self.executor = parts.executor
        self.bus = parts.bus
        self.telemetry = parts.telemetry
        self._worker_id = worker_id

    def for_tenant(self, tenant: str) -> "Client":
        """The client of one tenant, with the same parts. It is closed with this client.

        Args:
            tenant: name of the tenant. Runs without a tenant belong to ``default``.

        Raises:
            UsageError: the name is not allowed, or this client belongs to another tenant.
        """
        check_tenant(tenant)  # `None` would be a client of all tenants
        own = self._scope.tenant
        if own not in (None, tenant):
            raise UsageError(f"tenant must be {own!r} for a client of that tenant, got {tenant!r}")
        return Client(self._parts, worker_id=self._worker_id, tenant=tenant)

    async def submit(
        self,
        roadmap: Roadmap,
        *,
        new: bool = False,
        key: str | None = None,
        share: Share = DEFAULT_SHARE,
        context: Mapping[str, object] | None = None,
        steps: Sequence[str] | None = None,
        only: Sequence[str] = (),
        budget: float | None = None,
        adopt: bool = False,
    ) -> tuple[Run, Submitted]:
        """Generate a roadmap's content, or continue an earlier run of the same roadmap.

        If an earlier run lacks something of ``steps`` and ``only``, its scope is widened: its
        artifacts stay, and what is missing is generated. A scope never becomes narrower.

        Args:
            roadmap: the roadmap to generate.
            new: start a new run even if the tenant already has one of this roadmap.
            key: idempotency key of this submission. A second submission of the tenant with the
                same key returns the same run and does not resume it.
            share: tenant and weight of the run. An existing run keeps its own weight. In a
                client of a tenant, leave out the tenant.
            context: any JSON object, such as the learner's profile; steps and strategies receive
                it. It belongs to the identity of the run.
            steps: the steps to make, of those in the settings. ``None`` keeps the steps of an
                existing run; a new run then has the steps of the settings.
            only: the concepts to generate: ``stage:ID``, ``module:ID``, ``concept:ID`` or
                ``first-module``. All concepts if empty.
            budget: what the run may cost, in the currency of the settings' prices. An existing
                run gets it, too, unless ``key`` is given; ``None`` leaves it as it is.
            adopt: if the roadmap, the context or what prompts are made of has changed, start a
                new run that takes over the artifacts of unchanged concepts; see
                ``adoption``.

        Raises:
            RunConflict: the tenant already has a run of this roadmap id with other content or
                another context; see ``new``.
            KeyReused: the key belongs to a run with other content, another context or another
                weight.
            ContextError: the context is not a JSON object, is too large, or does not match
                ``run.context_schema``.
            UsageError: the share names another tenant than the client's, or ``steps`` or
                ``only`` name something unknown, or ``budget`` is not allowed.
            PartUnavailable: the store or the broker cannot be reached.
        """
        share = self._scope.share(share)
        with self.telemetry.submit() as span:
            request = RunRequest(
                context=context,
                steps=names_of(steps),
                only=names_of(only) or (),
                budget=budget,
            )
            given, scope = await self.check_request(roadmap, request)
            seeds, changed = await self._first_artifacts(roadmap, given, scope, share, adopt=adopt)
            new = new or changed
            submitted = await self._submit(
                roadmap, given, scope, new=new, key=key, share=share, seeds=seeds, budget=budget
            )
            span.submitted(*submitted)
            return submitted

    async def check_request(
        self, roadmap: Roadmap, request: RunRequest
    ) -> tuple[Mapping[str, object], Scope]:
        """Check the context and scope of a submission, as ``submit`` does before it stores a run.

        Raises:
            ContextError: the context is not valid.
            UsageError: ``steps`` or ``only`` name something unknown, or the budget is not allowed.
        """
        scope = self.check_scope(request.steps, request.only, roadmap)
        self.check_budget(request.budget)
        context = checked_context({} if request.context is None else request.context)
        await check_context_schema(self.settings.run.context_schema, context)
        return context, scope

    def check_scope(
        self,
        steps: Sequence[str] | None,
        only: Sequence[str] | None,
        roadmap: Roadmap | None = None,
    ) -> Scope:
        """Check the names of steps, and the selectors of concepts if there is a roadmap.

        Raises:
            UsageError: a step or a part of the roadmap is unknown.
        """
        scope = Scope(steps=checked_steps(steps, self.settings.run.steps), only=tuple(only or ()))
        if roadmap is not None:
            scope.concepts_of(roadmap)
        return scope

    def check_budget(self, budget: float | None) -> None:
        """Check the budget of a run.

        Raises:
            UsageError: it is not a positive number, or no strategy keeps it.
        """
        if budget is None:
            return
        if not 0 < budget <= MAX_BUDGET:
            raise UsageError(f"budget must be above 0 and at most {MAX_BUDGET:g}, got {budget:g}")
        if "budget" not in self.settings.strategy:
            stacked = ", ".join(["budget", *self.settings.strategy])
            raise UsageError(
                "a budget needs the strategy budget, so that workers keep it: set strategy to "
                f"{stacked}"
            )

    async def _submit(
        self,
        roadmap: Roadmap,
        context: Mapping[str, object],
        scope: Scope,
        *,
        new: bool,
        key: str | None,
        share: Share,
        seeds: Seeds,
        budget: float | None,
    ) -> tuple[Run, Submitted]:
        run, created = await self.store.create_run(
            roadmap,
            executor=self.settings.executor,
            new=new,
            key=None if key is None else key_of_tenant(key, share.tenant),
            share=share,
            context=context,
            scope=scope,
            seeds=seeds,
            budget=budget,
        )
        if created or (key is not None and run.status == "queued"):
            # Again even if it was created before: the broker may not have the message.
            await self.executor.submit(run.run_id)
        if created:
            return run, "created"
        if key is not None:
            return run, "complete" if run.status == "completed" else "attached"
        if budget is not None:
            await self.store.set_budget(run.run_id, budget)
        run = await self._extend(run, scope.steps, scope.only, roadmap)
        return await self._resume(run)

    async def resume(
        self,
        run_id: str,
        *,
        only: ResumeOnly | None = None,
        steps: Sequence[str] | None = None,
        also: Sequence[str] | None = None,
        budget: float | None = None,
        by: str | None = None,
    ) -> tuple[Run, Submitted]:
        """Continue a run: artifacts stay, failed and missing concepts are generated.

        If the run's worker is gone, the run is taken over. If the worker is alive, the run
        is left to it; what ``steps`` and ``also`` add follows when it has finished its part.

        Args:
            run_id: the run.
            only: generate only the concepts that ``failed``, or only those that are
                ``missing`` because the run ended before them. The others stay as they are.
            steps: steps to add to those of the run, of those in the settings. A run without
                steps of its own always has the steps of the settings.
            also: concepts to add to those of the run, as ``only`` of ``submit``. ``None`` adds
                none; an empty sequence adds all.
            budget: what the run may cost from now on, with what it has cost so far, in the
                currency of the settings' prices; ``None`` leaves it as it is.
            by: name of the actor in the audit log; the user of this process if ``None``.

        Raises:
            RunNotFound: there is no such run.
            UsageError: ``steps`` or ``also`` name something unknown, or are combined with
                ``only``; or ``budget`` is not allowed.
            NothingToResume: ``only`` is given and the run is queued or running, or it has no
                such concept.
            PartUnavailable: the store or the broker cannot be reached.
        """
        run = await self.run(run_id)
        added, also = checked_steps(names_of(steps), self.settings.run.steps), names_of(also)
        if only is not None:
            if added is not None or also is not None:
                raise UsageError(
                    f"only={only!r} adds no steps or concepts: leave out steps and also"
                )
            await self.check_resumable(run, only)
        self.check_budget(budget)
        if budget is not None:
            await self.store.set_budget(run_id, budget)
        with self.telemetry.submit() as span:
            if only is None:
                run = await self._extend(run, added, also)
            resumed = await self._resume(run, only)
            await self._steered("resume", resumed[0], "", by)
            span.submitted(*resumed)
            return resumed

    async def _extend(
        self,
        run: Run,
        steps: Sequence[str] | None,
        only: Sequence[str] | None,
        roadmap: Roadmap | None = None,
    ) -> Run:
        """Widen the scope of a run, and reopen completed concepts that lack one of its steps."""
        known = self.settings.run.steps
        while True:
            scope = run.scope.widened(steps=steps, only=only)
            if scope == run.scope and run.status in ("queued", "running"):
                return run  # its next claim finds what is missing
            roadmap = roadmap or await self.store.roadmap(run.run_id)
            extended = await self.store.extend(
                run,
                scope,
                executor=self.settings.executor,
                roadmap=roadmap,
                steps=known if scope.steps is None else scope.steps,
            )
            if extended is not None:
                return extended
            run = await self.store.run(run.run_id)  # another client widened it meanwhile

    async def _resume(self, run: Run, only: ResumeOnly | None = None) -> tuple[Run, Submitted]:
        run_id = run.run_id
        if run.status == "completed":
            return run, "complete"
        what: Submitted = "resumed"
        if run.status == "running":
            await recover(self.store, self.settings, None, run_id=run_id)
            run = await self.store.run(run_id)
            if run.status == "running":
                return run, "attached"
        elif run.status == "queued" and not run.fence:
            what = "attached"
        run = await self.store.reopen(run_id, executor=self.settings.executor, only=only)
        if run.status == "queued":
            # Submit again even if it was queued: the broker may have lost the message, and
            # submitting twice runs it once.
            await self.executor.submit(run_id)
        return run, what

    async def check_resumable(self, run: Run, only: ResumeOnly) -> None:
        """Check that a run has ended or is paused, and has such concepts.

        Raises:
            NothingToResume: it is queued or running, or it has no such concept.
            RunNotFound: it belongs to another tenant than the client.
        """
        self._scope.check(run)
        if run.status in ("queued", "running"):
            raise NothingToResume(
                f"run {run.run_id} is {run.status}: --{only}-only needs a run that has ended or "
                "is paused"
            )
        found = await self.store.concepts(
            run.run_id, status=("failed",) if only == "failed" else ("pending", "skipped"), limit=1
        )
        if not found:
            raise NothingToResume(f"run {run.run_id} is {run.status} and has no {only} concept")

    async def cancel(self, run_id: str, *, by: str | None = None) -> Run:
        """Cancel a run: at once if it is queued, within seconds if a worker works on it.

        Args:
            run_id: the run.
            by: name of the actor in the audit log; the user of this process if ``None``.

        Raises:
            RunNotFound: there is no such run.
        """
        await self.run(run_id)
        run = await self.store.request_cancel(run_id)
        await self.executor.cancel(run_id)
        await self._steered("cancel", run, "", by)
        return run

    async def pause(self, run_id: str, reason: str = "by request", *, by: str | None = None) -> Run:
        """Pause a run: at once if it is queued, else as soon as its calls in flight are saved.

        Only ``resume`` or ``submit`` continues a paused run. A run that has ended stays as it is.

        Args:
            run_id: the run.
            reason: why, in a few words; it is shown while the run is paused.
            by: name of the actor in the audit log; the user of this process if ``None``.

        Raises:
            RunNotFound: there is no such run.
            PartUnavailable: the store cannot be reached.
        """
        await self.run(run_id)
        run = await self.store.request_pause(run_id, reason)
        await self._steered("pause", run, reason, by)
        return run

    async def follow(self, run_id: str, *, after: str | None = None) -> AsyncIterator[Event]:
        """Events of a run until its last one; the first event is a snapshot.

        If the bus is silent or unreachable, the client asks the store, so it always sees the
        end.

        Args:
            run_id: the run.
            after: position of the last event that was seen; then no snapshot comes first.

        Raises:
            RunNotFound: there is no such run.
            PartUnavailable: the store cannot be reached, at the start or for two minutes.
        """
        run = await self.run(run_id)
        # A bus in memory carries only the events of this process's own worker.
        elsewhere = run.status == "running" and run.owner != self._worker_id
        carries = self.bus.shared or (self._worker_id is not None and not elsewhere)
        bus = self.bus if carries else None
        async for event in follow(self.store, bus, run_id, after=after):
            yield event

    async def wait(self, run_id: str) -> Run:
        """Wait until a run has ended or is paused, and return it. Raises as ``follow``."""
        async for event in self.follow(run_id):
            if event.stopped:
                break
        return await self.run(run_id)

    async def run(self, run_id: str) -> Run:
        """One run.

        Raises:
            RunNotFound: there is no such run.
        """
        return self._scope.check(await self.store.run(run_id))

    async def runs(
        self,
        *,
        status: Sequence[RunStatus] = (),
        roadmap_id: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Run]:
        """Runs, newest first.

        Args:
            status: only runs with one of these statuses.
            roadmap_id: only runs of this roadmap.
            limit: maximum number of runs.
            before: only runs older than the run with this id.
        """
        return await self.store.runs(
            status=status,
            roadmap_id=roadmap_id,
            tenants=self._scope.names,
            limit=limit,
            before=before,
        )

    async def find_runs(
        self, search: RunSearch, *, limit: int = 50, after: str | None = None, totals: bool = False
    ) -> FoundRuns:
        """One page of the runs that match a search. A client of a tenant finds only its runs.

        Args:
            search: which runs, and in which order.
            limit: maximum number of runs.
            after: the ``cursor`` of the page before.
            totals: whether to add the totals of the runs.
        """
        names = self._scope.names
        if names:
            wanted = tuple(one for one in names if not search.tenants or one in search.tenants)
            if not wanted:
                return FoundRuns(runs=())
            search = replace(search, tenants=wanted)
        return await self.store.find_runs(search, limit=limit, after=after, totals=totals)

    async def artifacts(self, run_id: str, *, concept_id: str | None = None) -> Sequence[Artifact]:
        """Artifacts of a run with their content, ordered by concept and time.

        Raises:
            RunNotFound: there is no such run.
        """
        await self.run(run_id)
        return await self.store.artifacts(run_id, concept_id=concept_id)
