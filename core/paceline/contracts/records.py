"""What stores keep and tell: runs, claims, artifacts, workers, and the sum of their pools."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from paceline.contracts.identity import ProcessIdentity
from paceline.contracts.share import EQUAL, Share
from paceline.contracts.wait_histogram import Counts
from paceline.errors import KeyReused, RunConflict

RunStatus = Literal["queued", "running", "completed", "partial", "failed", "cancelled"]
ConceptStatus = Literal["pending", "completed", "failed", "skipped"]
#: Which concepts of an ended run to generate again.
ResumeOnly = Literal["failed", "missing"]

#: A run in one of these is over until somebody resumes it.
ENDED: frozenset[RunStatus] = frozenset({"completed", "partial", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One generation of one roadmap, as it stands in the store.

    Attributes:
        run_id: its id; the ``task_id`` of its events.
        roadmap_id: the roadmap.
        title: the roadmap's title.
        content_hash: hash of the roadmap's content; with ``roadmap_id`` the run's identity.
        status: where it stands.
        reason: why it failed or was handed back, when it was.
        executor: the executor it was submitted to.
        share: whose it is, and what it may use of what is shared.
        total: concepts of the roadmap.
        completed: concepts with every artifact.
        failed: concepts that failed for good.
        fence: how often it was claimed; the newest claim's number is its fence.
        owner: id of the worker that claimed it, while it runs.
        takeovers: owners lost in a row without a new artifact.
        cancel_requested: somebody asked to cancel it.
        created_at: UTC, as all times.
        started_at: first claim.
        finished_at: end, while ended.
    """

    run_id: str
    roadmap_id: str
    title: str
    content_hash: str
    status: RunStatus
    reason: str | None
    executor: str
    total: int
    completed: int
    failed: int
    fence: int
    owner: str | None
    takeovers: int
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    share: Share = EQUAL

    @property
    def finished(self) -> int:
        """Concepts that are done with: completed or failed."""
        return self.completed + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to write a run, until another claim has a higher fence.

    Attributes:
        run_id: the run.
        roadmap_id: its roadmap.
        worker_id: who has the right.
        fence: rises with each claim of the run.
        share: the run's.
    """

    run_id: str
    roadmap_id: str
    worker_id: str
    fence: int
    share: Share = EQUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What a step made for one concept.

    Attributes:
        concept_id: the concept.
        step: the step that made it.
        content: the validated answer, JSON text.
        model: the model that wrote it, as the provider names it.
        prompt_tokens: tokens of the prompts of all attempts.
        completion_tokens: tokens of the answers of all attempts.
        cost: in the currency of the settings' prices; ``None`` where no price is set.
        seconds: from asking for admission of the first attempt to the valid answer.
        attempts: calls made for it, refusals not counted.
        created_at: when it was committed; set by the store.
    """

    concept_id: str
    step: str
    content: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    seconds: float
    attempts: int
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptState:
    """A concept of a run.

    Attributes:
        concept_id: the concept.
        status: ``pending`` until it completed or failed; ``skipped`` if the run was resumed
            without it.
        reason: why it failed.
        attempts: calls made for it in the run's last claim, refusals not counted.
        last_answer: the last answer that could not be used, cut to a bound.
    """

    concept_id: str
    status: ConceptStatus
    reason: str | None = None
    attempts: int = 0
    last_answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a worker process reports with each beat: both layers and the pressure they make.

    Attributes:
        runs: ids of the runs it works on.
        concepts: concepts in flight.
        calls: LLM calls in flight.
        connections: database connections checked out now.
        connections_peak: most that were checked out at once.
        checkout_waits: see ``PoolFigures``; so are the next two.
        checkout_timeouts: as there.
        busy_waits: as there.
        events: events published in all.
        events_per_second: events published over the last beats.
        strategy: what the strategy says of itself.
        rss: resident memory, bytes.
    """

    runs: tuple[str, ...] = ()
    concepts: int = 0
    calls: int = 0
    connections: int = 0
    connections_peak: int = 0
    checkout_waits: Counts = field(default_factory=dict[int, int])
    checkout_timeouts: int = 0
    busy_waits: int = 0
    events: int = 0
    events_per_second: float = 0.0
    strategy: str = ""
    rss: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A registered worker process.

    Attributes:
        worker_id: its id.
        identity: host, pid and start of the process.
        executor: the executor it serves.
        concurrency: runs it works on at once.
        pool_max: most database connections it may open.
        beat_age: seconds since its last beat, by the store's clock.
        figures: what it reported last.
        shared_limits: whether its limits hold over several workers.
    """

    worker_id: str
    identity: ProcessIdentity
    executor: str
    concurrency: int
    pool_max: int
    beat_age: float = 0.0
    figures: Figures = field(default_factory=Figures)
    shared_limits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What the store answers to a worker's beat.

    Attributes:
        cancelled: runs of this worker that somebody asked to cancel.
        lost: runs of this worker that were taken from it: another one owns them by now, or
            they are queued again or ended. A lease that only lapsed is renewed.
    """

    cancelled: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A running run whose owner may be gone.

    Attributes:
        run_id: the run.
        executor: where it was submitted to.
        fence: of the owner's claim.
        owner: the owner's process, when it is known.
        lapsed: whether the owner's lease has ended.
    """

    run_id: str
    executor: str
    fence: int
    owner: ProcessIdentity | None
    lapsed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigures:
    """The connections of this process.

    Attributes:
        limit: most connections it may open.
        in_use: checked out now.
        peak: most that were checked out at once.
        checkouts: how often one was checked out.
        waits: from asking the pool for a connection to having it, as ``paceline.contracts.wait_histogram`` counts.
        timeouts: how often that was given up.
        busy: transactions that had to wait for another process's, on SQLite.
    """

    limit: int
    in_use: int = 0
    peak: int = 0
    checkouts: int = 0
    waits: Counts = field(default_factory=dict[int, int])
    timeouts: int = 0
    busy: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The database's connections, added up over all processes.

    Attributes:
        server_max: what the server allows; ``None`` for an embedded database.
        reserve: kept free for people and short commands.
        registered: sum of ``pool_max`` over live workers.
    """

    server_max: int | None
    reserve: int
    registered: int

    @property
    def free(self) -> int | None:
        """What a new process may still take; ``None`` is no bound."""
        return None if self.server_max is None else self.server_max - self.reserve - self.registered


def shrunk(free: int, processes: int) -> int:
    """Connections for each of some new processes whose pools have to be sized down.

    They take half of what is free and leave the rest to those that start later: a small pool
    is slower by little, a worker that may not start does nothing. 0 where not even one
    connection for each is free.
    """
    return 0 if free < processes else max(1, free // 2 // processes)


def conflict(run: Run) -> RunConflict:
    """What a store raises when ``run`` is a roadmap's newest run and has other content."""
    return RunConflict(
        f"roadmap {run.roadmap_id!r} already has a run with other content (run {run.run_id}); "
        "use --new to start another run"
    )


def key_reused(run: Run) -> KeyReused:
    """What a store raises when ``run`` was created under a key with other content or share."""
    return KeyReused(
        f"the key was used for run {run.run_id} already, with another roadmap, tenant or weight"
    )


def given_up(lost: int) -> str:
    """The reason of a run that failed because ``lost`` owners in a row vanished with it."""
    workers = "1 worker was" if lost == 1 else f"{lost} workers in a row were"
    return f"given up: {workers} lost without saving anything"
