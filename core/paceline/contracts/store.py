"""The contract of stores: what is durable?"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from paceline.contracts.records import (
    Artifact,
    Beat,
    Budget,
    Claim,
    ConceptState,
    ConceptStatus,
    Figures,
    Orphan,
    PoolFigures,
    ResumeOnly,
    Run,
    RunStatus,
    WorkerRecord,
)
from paceline.contracts.share import EQUAL, Share
from paceline.roadmaps.model import Roadmap


class Store(ABC):
    """SQL persistence, or something that keeps the same promises.

    Times are the store's own clock. ``open`` comes first and ``close`` last, on one event
    loop. Every method raises ``PartUnavailable`` when the database cannot be reached.
    """

    #: Whether other processes see the same runs.
    shared: bool = True

    @abstractmethod
    async def open(self) -> None:
        """Connect and check the schema's version.

        Raises:
            SchemaVersionError: it is older or newer than this paceline.
        """

    @abstractmethod
    async def close(self) -> None:
        """Write what waits and disconnect."""

    # -- runs ----------------------------------------------------------------------------

    @abstractmethod
    async def create_run(
        self,
        roadmap: Roadmap,
        *,
        executor: str,
        new: bool = False,
        key: str | None = None,
        share: Share = EQUAL,
    ) -> tuple[Run, bool]:
        """The roadmap's run, created as ``queued`` if there is none (or ``new`` is asked for).

        Args:
            roadmap: what to generate.
            executor: the executor it is submitted to.
            new: create another run even if there is one.
            key: names this submission: the run that was created under the key is the one,
                whatever was created since.
            share: whose the run is; one that is there already keeps its own.

        Returns:
            The run, and whether it was created.

        Raises:
            RunConflict: the newest run of that roadmap id has other content.
            KeyReused: the key's run has other content or another share.
        """

    @abstractmethod
    async def run(self, run_id: str) -> Run:
        """One run.

        Raises:
            RunNotFound: there is none.
        """

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
        """Runs, newest first: all, or those that everything given is true of.

        Args:
            status: only runs in one of these.
            roadmap_id: only runs of this roadmap.
            tenants: only runs of one of these; the empty name is that of runs of nobody.
            limit: not more than so many.
            before: only runs older than this one: the last of the page before.
        """

    @abstractmethod
    async def roadmap(self, run_id: str) -> Roadmap:
        """The roadmap that a run was created with."""

    @abstractmethod
    async def concepts(
        self,
        run_id: str,
        *,
        status: Sequence[ConceptStatus] = (),
        limit: int | None = None,
        after: str | None = None,
    ) -> Sequence[ConceptState]:
        """Concepts of a run, in the roadmap's order: all, or those with one of these statuses.

        Args:
            run_id: the run.
            status: only concepts in one of these.
            limit: not more than so many.
            after: only concepts that stand behind this one.

        Raises:
            RunNotFound: there is no such run.
        """

    @abstractmethod
    async def concept(self, run_id: str, concept_id: str) -> ConceptState | None:
        """One concept of a run, if it has one of that id."""

    @abstractmethod
    async def artifact_steps(
        self, run_id: str, *, concepts: Sequence[str] | None = None
    ) -> Mapping[str, frozenset[str]]:
        """Which artifacts exist: the steps by concept id. One query, no content.

        Args:
            run_id: the run.
            concepts: of these alone.
        """

    @abstractmethod
    async def artifacts(
        self, run_id: str, *, concept_id: str | None = None, step: str | None = None
    ) -> Sequence[Artifact]:
        """Artifacts with their content, ordered by concept and time."""

    @abstractmethod
    async def totals(self, run_id: str) -> tuple[int, int, float | None]:
        """Prompt tokens, completion tokens and cost of a run's artifacts."""

    # -- ownership -----------------------------------------------------------------------

    @abstractmethod
    async def claim(self, run_id: str, worker_id: str, *, lease: float) -> Claim | None:
        """Become the owner of a queued run, or of a running one whose lease lapsed.

        Sets ``running``, the next fence, and a lease of ``lease`` seconds. ``None`` where
        the run has a live owner, has ended, or is to be cancelled.
        """

    @abstractmethod
    async def claim_next(
        self, executor: str, worker_id: str, *, lease: float, only: Sequence[str] | None = None
    ) -> Claim | None:
        """Claim the oldest queued run of an executor; ``only`` these runs, when given."""

    @abstractmethod
    async def save(self, claim: Claim, artifact: Artifact, *, concept: ConceptState | None) -> None:
        """Save an artifact, and with it the concept's new state; returns when committed.

        Saving the same concept and step again changes nothing. Once begun, the save goes
        through even if the caller is cancelled.

        Raises:
            StaleFence: the run has another owner; nothing was written.
        """

    @abstractmethod
    async def save_concept(self, claim: Claim, concept: ConceptState) -> None:
        """Record a concept's state; returns when committed. Raises as ``save``."""

    @abstractmethod
    async def finish(self, claim: Claim, status: RunStatus, reason: str | None = None) -> None:
        """End a run.

        Raises:
            StaleFence: the run has another owner; nothing was written.
        """

    @abstractmethod
    async def hand_back(self, claim: Claim, reason: str | None = None) -> None:
        """Give up ownership: the run is queued again. Does nothing if it has another owner."""

    @abstractmethod
    async def orphans(self, *, run_id: str | None = None, limit: int = 100) -> Sequence[Orphan]:
        """Running runs (or that one), with what is known of their owners, oldest lease first."""

    @abstractmethod
    async def requeue_orphan(self, orphan: Orphan, *, poison_after: int) -> RunStatus | None:
        """Queue a run whose owner is gone, unless it was claimed since.

        It counts owners lost without a new artifact; at ``poison_after`` of them in a row
        the run fails instead, with that reason.

        Returns:
            The run's new status, or ``None`` if somebody was faster.
        """

    @abstractmethod
    async def reopen(self, run_id: str, *, executor: str, only: ResumeOnly | None = None) -> Run:
        """Queue an ended run again; its failed and skipped concepts are pending again.

        A queued run only changes its executor. A running or completed run stays as it is.

        Args:
            run_id: the run.
            executor: the executor that it is submitted to.
            only: with ``failed``, the failed concepts become pending and all pending ones
                ``skipped``. With ``missing``, the failed concepts stay failed.
        """

    @abstractmethod
    async def request_cancel(self, run_id: str) -> Run:
        """Cancel a queued run at once, ask the owner of a running one; no-op when ended."""

    # -- workers -------------------------------------------------------------------------

    @abstractmethod
    async def register(self, worker: WorkerRecord) -> None:
        """Add a worker, or replace what is known of it."""

    @abstractmethod
    async def beat(self, worker_id: str, figures: Figures, *, lease: float) -> Beat:
        """Report figures, renew the leases of ``figures.runs``, and learn what changed."""

    @abstractmethod
    async def deregister(self, worker_id: str) -> None:
        """Remove a worker; its runs, if it left any, may be taken over at once."""

    @abstractmethod
    async def workers(self, *, max_age: float = 15.0) -> Sequence[WorkerRecord]:
        """Workers whose last beat is at most ``max_age`` seconds old.

        One that was a process of this host and was killed since then is not among them.
        """

    # -- connections ---------------------------------------------------------------------

    @abstractmethod
    def pool(self) -> PoolFigures:
        """The connections of this process."""

    @abstractmethod
    async def budget(self) -> Budget:
        """The sum of connections over all processes, and what the server allows."""

    @abstractmethod
    async def admit_workers(self, workers: Sequence[WorkerRecord]) -> tuple[int, str | None]:
        """Register workers about to start, with a share of the connections that fits.

        No two callers are answered at once, so the sum over all processes holds. A worker
        that is registered already is replaced, and its old share counts no more.

        Returns:
            The connections that each may open, and a warning where that is less than the
            settings ask for.

        Raises:
            BudgetError: it does not fit, with the sum in words.
        """
