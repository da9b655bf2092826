"""The contract of stores: runs, ownership, artifacts, workers and connections."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from paceline.contracts.finding import Finding
from paceline.contracts.scope import WHOLE_ROADMAP, Scope
from paceline.contracts.share import DEFAULT_SHARE, Share
from paceline.contracts.storage.budgets import BudgetStore
from paceline.contracts.storage.controls import ControlStore
from paceline.contracts.storage.outbox import OutboxStore
from paceline.contracts.storage.records import (
    NOTHING_REPLACED,
    Artifact,
    Beat,
    Budget,
    Claim,
    ConceptState,
    ConceptStatus,
    Figures,
    JournalEntry,
    Orphan,
    PoolFigures,
    Replaced,
    ResumeOnly,
    Run,
    RunPace,
    RunStatus,
    SchemaVersion,
    WorkerRecord,
)
from paceline.contracts.storage.retention import RetentionStore
from paceline.contracts.storage.run_search import FoundRuns, RunSearch
from paceline.contracts.storage.seeds import NO_SEEDS, Seeds
from paceline.contracts.storage.spending import Charge, RunSpending
from paceline.contracts.storage.timeline import StepTimes
from paceline.contracts.storage.versions import VersionStore
from paceline.roadmaps.model import Roadmap


class RunStore(ABC):
    """Submits, lists, resumes and cancels runs.

    Methods with a ``run_id`` raise ``RunNotFound`` if no run has that id.
    """

    @abstractmethod
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
        """Return the tenant's newest run of the roadmap; create a queued run if it has none.

        Runs of other tenants do not count: see ``stored_names``. A new run has the concepts of
        ``scope.concepts_of(roadmap)``.

        Args:
            roadmap: what to generate.
            executor: the executor that the run is submitted to.
            new: create a run even if the tenant has one of the roadmap.
            key: name of this submission. The run that was created under the key is returned,
                even if the roadmap has newer runs.
            share: tenant and weight of a new run. An existing run keeps its own weight.
            context: the run's context, as ``checked_context`` returned it.
            scope: steps and concepts of a new run. An existing run keeps its own; see ``extend``.
            seeds: artifacts that a new run begins with.
            budget: what a new run may cost, in the currency of the settings' prices. An existing
                run keeps its own; see ``set_budget``.

        Returns:
            The run, and whether it was created.

        Raises:
            RunConflict: the tenant's newest run of that roadmap id has other content or another
                context.
            KeyReused: the run of the key has other content, another context or another share.
            UsageError: the scope selects a part that the roadmap does not have.
        """

    @abstractmethod
    async def extend(
        self, run: Run, scope: Scope, *, executor: str, roadmap: Roadmap, steps: Sequence[str]
    ) -> Run | None:
        """Widen the scope of a run, and set concepts that lack one of ``steps`` to ``pending``.

        Only completed concepts change their status. Concepts that are new in the scope are
        ``pending``. If a completed run then has pending concepts, it is queued again. If a
        running run gets another scope, its owner's ``finish`` queues it again.

        Args:
            run: the run, as it was read.
            scope: the new scope, which contains the scope of ``run``.
            executor: the executor that a queued run is submitted to.
            roadmap: the run's roadmap.
            steps: the steps that every concept of the scope needs.

        Returns:
            The run; ``None`` if its scope has changed since ``run`` was read.

        Raises:
            UsageError: the scope selects a part that the roadmap does not have.
        """

    @abstractmethod
    async def run(self, run_id: str) -> Run:
        """Return one run."""

    @abstractmethod
    async def runs(
        self,
        *,
        status: Sequence[RunStatus] = (),
        roadmap_id: str | None = None,
        tenants: Sequence[str] = (),
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Run]:
        """List the runs that match every given filter, newest first.

        Args:
            status: only runs with one of these statuses.
            roadmap_id: only runs of this roadmap.
            tenants: only runs of these tenants; the empty name matches runs without a tenant.
            limit: maximum number of runs.
            before: only runs older than this one, which is the last run of the previous page.
        """

    @abstractmethod
    async def find_runs(
        self, search: RunSearch, *, limit: int = 50, after: str | None = None, totals: bool = False
    ) -> FoundRuns:
        """Find the next page of runs. Its time does not grow with the number of runs.

        Args:
            search: which runs, and in which order.
            limit: maximum number of runs.
            after: only runs that follow this one in the order: the ``cursor`` of a page.
            totals: whether to add the totals of the runs.
        """

    @abstractmethod
    async def roadmap(self, run_id: str) -> Roadmap:
        """Return the roadmap that a run was created with."""

    @abstractmethod
    async def reopen(self, run_id: str, *, executor: str, only: ResumeOnly | None = None) -> Run:
        """Queue an ended or paused run and set its failed and skipped concepts to ``pending``.

        A queued run only changes its executor. A running or completed run stays as it is.

        Args:
            run_id: id of the run.
            executor: the executor that the run is submitted to.
            only: which concepts to generate. With ``failed``, pending concepts become
                ``skipped`` and skipped ones stay so. With ``missing``, failed concepts stay
                ``failed``.
        """

    @abstractmethod
    async def request_cancel(self, run_id: str) -> Run:
        """Cancel a run at once if it has no live owner; else ask its owner to cancel it.

        An ended run stays as it is.
        """

    @abstractmethod
    async def request_pause(self, run_id: str, reason: str) -> Run:
        """Pause a run at once if it has no live owner; else ask its owner to pause it.

        A paused or ended run stays as it is. ``reason`` becomes the reason of the paused run.
        """


class OwnershipStore(ABC):
    """Gives each run one owner at a time, by claims with a fence and a lease."""

    @abstractmethod
    async def claim(self, run_id: str, worker_id: str, *, lease: float) -> Claim | None:
        """Become the owner of a queued run, or of a running one with an expired lease.

        The run becomes ``running`` with the next fence and a lease of ``lease`` seconds.
        Completed concepts with a request for a revision become ``pending``.

        Returns:
            The claim; ``None`` if the run has a live owner, is paused, has ended, has a request
            to cancel or pause it, or does not exist.
        """

    @abstractmethod
    async def claim_next(
        self, executor: str, worker_id: str, *, lease: float, only: Sequence[str] | None = None
    ) -> Claim | None:
        """Claim the next queued run of an executor; one of ``only`` if that is given.

        Runs come in the order of ``claim_order``. A run that was queued for revisions has the
        place of an urgent run that was submitted then.
        """

    @abstractmethod
    async def finish(self, claim: Claim, status: RunStatus, reason: str | None = None) -> RunStatus:
        """End a run. Raises ``StaleFence`` if the claim does not own it any more.

        If ``extend`` widened the run's scope after the claim, the run is queued again, unless
        ``status`` is ``cancelled``.

        Returns:
            The new status of the run.
        """

    @abstractmethod
    async def hand_back(self, claim: Claim, reason: str | None = None) -> RunStatus | None:
        """Queue the run again, without an owner, if the claim still owns it.

        If its cancel or pause was requested, it is cancelled or paused instead.

        Returns:
            The new status of the run; ``None`` if the claim does not own it any more.
        """

    @abstractmethod
    async def orphans(self, *, run_id: str | None = None, limit: int = 100) -> Sequence[Orphan]:
        """List running runs (or only ``run_id``) and their owners, oldest lease first."""

    @abstractmethod
    async def requeue_orphan(self, orphan: Orphan, *, poison_after: int) -> RunStatus | None:
        """Queue a run that lost its owner, unless it was claimed or renewed since.

        If a run loses ``poison_after`` owners in a row without a new artifact, it fails. If its
        cancel or pause was requested, it is cancelled or paused. The calls that the owner
        reported in flight with its last beat are charged, as an estimate.

        Returns:
            The new status of the run; ``None`` if it was claimed or renewed since.
        """


class ArtifactStore(ABC):
    """Saves and reads artifacts, the states of concepts and the journal of steps.

    If a claim does not own its run any more, ``save``, ``save_concept`` and ``record`` write
    nothing and raise ``StaleFence``. What was spent is recorded all the same.
    """

    @abstractmethod
    async def save(
        self,
        claim: Claim,
        artifact: Artifact,
        *,
        concept: ConceptState | None,
        replaced: Replaced = NOTHING_REPLACED,
    ) -> None:
        """Save an artifact together with the new state of its concept.

        Returns after the commit. A second save of the same concept and step changes nothing,
        unless it fulfils a request for a revision: then the artifact becomes the current version
        in one step, and the earlier version is kept. If that request was replaced or removed
        meanwhile, the artifact is dropped and only its cost is recorded.

        An artifact includes what earlier calls of the claim cost, so their charge is removed.
        Once started, the save completes even if the caller is cancelled.

        Args:
            claim: the claim of the run.
            artifact: the artifact.
            concept: the new state of the concept; ``None`` if it does not change.
            replaced: what goes or changes with the same commit.
        """

    @abstractmethod
    async def record(self, claim: Claim, entry: JournalEntry) -> None:
        """Record a result of a step before its artifact is saved. Returns after the commit.

        A second record of the same run, concept, step, version and name changes nothing.
        """

    @abstractmethod
    async def journal(self, run_id: str, concept_id: str) -> Sequence[JournalEntry]:
        """Return the recorded results of a concept, oldest first."""

    @abstractmethod
    async def save_concept(
        self, claim: Claim, concept: ConceptState, *, charge: Charge | None = None
    ) -> None:
        """Save the state of a concept, and what a failed step cost. Returns after the commit."""

    @abstractmethod
    async def charge(self, claim: Claim, charge: Charge) -> None:
        """Record what a step without an artifact has cost so far. Returns after the commit.

        A charge of the same claim, concept and step is replaced. Claims that do not own the run
        any more may charge, too, because they have spent it.
        """

    @abstractmethod
    async def concepts(
        self,
        run_id: str,
        *,
        status: Sequence[ConceptStatus] = (),
        limit: int | None = None,
        after: str | None = None,
    ) -> Sequence[ConceptState]:
        """List concepts of a run in the order of the roadmap.

        Args:
            run_id: id of the run.
            status: only concepts with one of these statuses.
            limit: maximum number of concepts.
            after: only concepts that follow this one.

        Raises:
            RunNotFound: no run has that id.
        """

    @abstractmethod
    async def concept(self, run_id: str, concept_id: str) -> ConceptState | None:
        """Return one concept of a run; ``None`` if it does not exist."""

    @abstractmethod
    async def artifacts(
        self, run_id: str, *, concept_id: str | None = None, step: str | None = None
    ) -> Sequence[Artifact]:
        """List artifacts with their content, in the order of the roadmap and of time."""

    @abstractmethod
    async def artifact_steps(
        self, run_id: str, *, concepts: Sequence[str] | None = None
    ) -> Mapping[str, frozenset[str]]:
        """Return the steps with an artifact by concept id: of ``concepts``, or of all."""

    @abstractmethod
    async def run_paces(self, run_ids: Sequence[str]) -> Sequence[RunPace]:
        """Return how far runs are that are queued or running; other runs are left out.

        Clients ask every few seconds, so no query may read the content of artifacts.
        """

    @abstractmethod
    async def timeline(self, run_id: str, *, concepts: Sequence[str]) -> Sequence[StepTimes]:
        """List when the steps of some concepts made their current artifacts, or failed.

        A step of a claim that led to no artifact is listed by itself, and so is a step that the
        owner of the run reported as open with its last beat. The order is that of ``ended_at``.
        A run that does not exist has none.
        """

    @abstractmethod
    async def spending(self, run_id: str) -> RunSpending:
        """Return what a run has cost so far; nothing if it does not exist."""


class WorkerStore(ABC):
    """Registers workers."""

    @abstractmethod
    async def register(self, worker: WorkerRecord) -> None:
        """Add a worker, or replace its record."""

    @abstractmethod
    async def beat(self, worker_id: str, figures: Figures, *, lease: float) -> Beat:
        """Report figures and renew the leases of ``figures.runs`` that the worker owns."""

    @abstractmethod
    async def deregister(self, worker_id: str) -> None:
        """Remove a worker. Other workers may claim its runs at once."""

    @abstractmethod
    async def workers(self, *, max_age: float = 15.0) -> Sequence[WorkerRecord]:
        """List workers with a beat in the last ``max_age`` seconds.

        A process of this host that was killed since its last beat is not listed.
        """


class ConnectionStore(ABC):
    """Counts database connections and shares them out to workers."""

    @abstractmethod
    def pool(self) -> PoolFigures:
        """Return the figures of this process's connection pool."""

    @abstractmethod
    async def budget(self) -> Budget:
        """Return the connections of all processes and the server's limit."""

    def findings(self) -> Sequence[Finding]:
        """Return what ``paceline doctor`` should report about the open store."""
        return ()

    @abstractmethod
    async def admit_workers(self, workers: Sequence[WorkerRecord]) -> tuple[int, str | None]:
        """Register workers that are about to start, with connections that fit the server.

        Callers are served one at a time, so that the sum over all processes fits. A worker that
        is already registered is replaced.

        Returns:
            Maximum connections of each worker, and a warning if the settings ask for more.

        Raises:
            BudgetError: they do not fit; the text shows the sum.
        """


class Store(
    RunStore,
    OwnershipStore,
    ArtifactStore,
    VersionStore,
    WorkerStore,
    ConnectionStore,
    OutboxStore,
    RetentionStore,
    BudgetStore,
    ControlStore,
):
    """Durable state of paceline, usually in an SQL database.

    ``open`` is called first and ``close`` last, on one event loop. Leases and ages are measured
    by the store's own clock. Every method raises ``PartUnavailable`` if the store cannot be
    reached.
    """

    @abstractmethod
    async def open(self, *, create: bool = True) -> None:
        """Connect and check the version of the schema.

        Args:
            create: whether to create the database if it does not exist. Stores that never
                create one ignore this.

        Raises:
            DatabaseNotFound: the database does not exist, and ``create`` is false.
            SchemaVersionError: the schema is older or newer than this paceline needs.
        """

    @abstractmethod
    async def close(self) -> None:
        """Complete pending writes and disconnect. Works on a store that was never opened."""

    async def schema_version(self) -> SchemaVersion | None:
        """Return the version of the schema, without ``open``; ``None`` for stores without one."""
        return None

    async def upgrade_schema(self) -> tuple[str | None, str] | None:
        """Upgrade the schema to the version that this paceline needs, without ``open``.

        If several processes call it at once, one of them upgrades.

        Returns:
            The version before and the version now; ``None`` for stores without a schema.

        Raises:
            SchemaVersionError: the schema is newer than this paceline.
        """
        return None
