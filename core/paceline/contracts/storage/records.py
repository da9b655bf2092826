"""The records of a store: runs, claims, artifacts, workers and database connections."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from paceline.contracts.admission.limit_figures import LimitFigures
from paceline.contracts.admission.wait_histogram import WaitHistogram
from paceline.contracts.call_counts import CallCounts, Durations
from paceline.contracts.identity import ProcessIdentity
from paceline.contracts.scope import Scope
from paceline.contracts.share import DEFAULT_SHARE, Share
from paceline.contracts.storage.spending import Spent
from paceline.contracts.storage.timeline import OpenStep, Phase
from paceline.errors import UsageError

RunStatus = Literal["queued", "running", "paused", "completed", "partial", "failed", "cancelled"]
ConceptStatus = Literal["pending", "completed", "failed", "skipped"]
#: A run with one of these statuses has ended until it is resumed.
ENDED: frozenset[RunStatus] = frozenset({"completed", "partial", "failed", "cancelled"})

#: A run with one of these statuses continues only after a user's command.
RESUMABLE: frozenset[RunStatus] = frozenset({"paused", "partial", "failed", "cancelled"})

#: Which concepts of an ended run to generate again.
ResumeOnly = Literal["failed", "missing"]

#: Maximum size of the value of a journal entry, in bytes of UTF-8.
MAX_JOURNAL_VALUE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One generation of one roadmap, as the store has it.

    Attributes:
        run_id: id of the run; the ``task_id`` of its events.
        roadmap_id: id of the roadmap.
        title: title of the roadmap.
        content_hash: hash of the roadmap's content. With ``roadmap_id`` and ``context`` it
            identifies the run.
        status: status of the run.
        reason: why the run failed, is partial or paused, or was handed back.
        executor: the executor that the run was submitted to.
        share: tenant and weight.
        total: number of concepts in the scope of the run.
        completed: number of concepts with all artifacts.
        failed: number of concepts that failed.
        fence: number of claims so far, which is the fence of the newest claim.
        owner: id of the worker that claimed the run; ``None`` unless it is running.
        takeovers: number of owners lost in a row without a new artifact.
        cancel_requested: whether a cancel request was made.
        pause_requested: reason of a pause request; ``None`` without one.
        created_at: when the run was submitted. All times are in UTC.
        started_at: when the run was claimed for the first time.
        finished_at: when the run ended; ``None`` unless it has ended.
        seconds: seconds that workers owned the run, without pauses and waits in a queue.
        context: the JSON object that was given at submit, such as the learner's profile.
        steps: the steps of the run; ``None`` for the steps of the settings.
        only: selectors of the run's concepts, such as ``module:ID``; empty for all concepts.
        budget: what the run may cost, in the currency of the settings' prices; ``None`` if only
            the settings limit it.
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
    share: Share = DEFAULT_SHARE
    pause_requested: str | None = None
    seconds: float = field(default=0.0, compare=False)
    context: Mapping[str, object] = field(default_factory=dict[str, object], hash=False)
    steps: tuple[str, ...] | None = None
    only: tuple[str, ...] = ()
    budget: float | None = None

    @property
    def scope(self) -> Scope:
        """The steps and concepts of the run."""
        return Scope(steps=self.steps, only=self.only)

    @property
    def finished(self) -> int:
        """Number of concepts that completed or failed."""
        return self.completed + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPace:
    """How far a run is, and how fast it got there.

    Attributes:
        run_id: id of the run.
        seconds: seconds since the current claim; 0 if the run is queued.
        made: artifacts that were saved in this claim.
        pending: concepts that are still to be completed.
        saved: artifacts that these concepts already have.
    """

    run_id: str
    seconds: float = 0.0
    made: int = 0
    pending: int = 0
    saved: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to write a run, until another claim has a higher fence.

    Attributes:
        run_id: id of the run.
        roadmap_id: id of its roadmap.
        worker_id: id of the worker that owns the run.
        fence: number of this claim; rises with each claim of the run.
        share: tenant and weight of the run.
    """

    run_id: str
    roadmap_id: str
    worker_id: str
    fence: int
    share: Share = DEFAULT_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What a step made for one concept.

    Attributes:
        concept_id: id of the concept.
        step: name of the step.
        content: the validated answer as JSON text.
        model: name of the model that wrote the answer, as the provider reports it.
        prompt_tokens: tokens of the prompts of all attempts.
        completion_tokens: tokens of the answers of all attempts.
        cost: cost in the currency of the settings' prices; ``None`` if no price is set.
        seconds: time from the first attempt's request for admission to the valid answer.
        attempts: number of calls, without calls that the provider refused.
        estimated: whether some of the tokens are estimates.
        created_at: when the artifact was committed. The store sets it.
        fallback: why a model that the step prefers did not write it; ``None`` if the preferred
            model wrote it.
        version: number of the version, from 1. The store sets it.
        current: whether readers see this version. The store sets it.
        changes: how often another version became current, from 1; for the current version only.
            The store sets it.
        stale: whether an artifact that it was made from has another version since.
        prompt_hash: hash of the messages of the first call; ``None`` if it is unknown.
        input_hash: hash of what it was made from; ``None`` if it is unknown. See
            ``paceline.steps.inputs``.
        instruction: what a revision was asked to change.
        tenant: tenant of the client that asked for a revision.
        requested_by: who asked for the revision, as free text.
        adopted_from: run that made it, if this run took it over. Its cost is then 0 here.
        phases: what its step did, and when. Reads leave it empty: see ``timeline``.
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
    estimated: bool = False
    created_at: datetime | None = None
    fallback: str | None = None
    version: int = 1
    current: bool = True
    changes: int = 1
    stale: bool = False
    prompt_hash: str | None = None
    input_hash: str | None = None
    instruction: str | None = None
    tenant: str | None = None
    requested_by: str | None = None
    adopted_from: str | None = None
    phases: tuple[Phase, ...] = field(default=(), compare=False)

    @property
    def place(self) -> tuple[str, str]:
        """Concept and step."""
        return self.concept_id, self.step

    @property
    def spent(self) -> Spent:
        """What its calls cost."""
        return Spent(
            attempts=self.attempts,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost=self.cost,
            estimated=self.estimated,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """What goes or changes with the commit of an artifact.

    Attributes:
        journal: whether the step recorded results. They are deleted.
        revision: number of the request that the artifact fulfils. The request is deleted, and
            the artifact becomes the current version.
        stale: steps of the concept that were made from an earlier version of the artifact:
            their artifacts become stale.
    """

    journal: bool = False
    revision: int | None = None
    stale: tuple[str, ...] = ()


#: A first version, of a step that recorded nothing.
NOTHING_REPLACED = Replaced()


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """A result that a step recorded before its artifact was saved, to read it after a crash.

    Attributes:
        concept_id: id of the concept.
        step: name of the step.
        version: version of the artifact that the step makes.
        name: name of the result; unique within the step.
        value: the result as JSON text.

    Raises:
        UsageError: the value has more than ``MAX_JOURNAL_VALUE`` bytes.
    """

    concept_id: str
    step: str
    version: int
    name: str
    value: str

    def __post_init__(self) -> None:
        """Check the size of the value."""
        size = len(self.value)
        if not self.value.isascii():
            size = len(self.value.encode(errors="surrogatepass"))
        if size > MAX_JOURNAL_VALUE:
            raise UsageError(
                f"journal entry {self.name!r} of step {self.step!r}, concept "
                f"{self.concept_id!r}: value must have at most {MAX_JOURNAL_VALUE} bytes, "
                f"got {size}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptState:
    """A concept of a run.

    Attributes:
        concept_id: id of the concept.
        status: ``pending`` until it completes or fails; ``skipped`` if the run was resumed
            without it.
        reason: why it failed.
        attempts: number of calls in all claims of the run, without calls that the provider
            refused. The store sums them.
        last_answer: the last unusable answer, shortened.
    """

    concept_id: str
    status: ConceptStatus
    reason: str | None = None
    attempts: int = 0
    last_answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a worker process reports with each beat.

    Attributes:
        runs: ids of the runs in progress.
        concepts: number of concepts in flight.
        calls: number of LLM calls in flight.
        connections: number of database connections in use.
        checkout_waits: ``waits`` of ``PoolFigures``.
        checkout_timeouts: ``timeouts`` of ``PoolFigures``.
        busy_waits: ``busy`` of ``PoolFigures``.
        events: number of events published since the start.
        events_per_second: rate of events since the last beat.
        strategy: description of the strategy's state.
        trouble: why calls of a run wait, in the provider's words, by run id.
        in_flight: an estimate of what the calls in flight will cost, by run id.
        fallbacks: number of answers of fallback models since the start.
        version: version of paceline that the worker runs; empty if it is unknown.
        limits: the limits in numbers.
        open_steps: the steps that are being made. ``workers`` leaves it empty: see ``timeline``.
        saved: number of artifacts saved since the start.
        waiting: number of concepts, calls and uses of resources that wait for admission.
        waits: how long those that were admitted since the start waited, by ``concept``, ``call``
            and ``resource``.
        attempts: attempts since the start, by provider and model, as in ``openai:gpt-4o-mini``.
    """

    runs: tuple[str, ...] = ()
    concepts: int = 0
    calls: int = 0
    connections: int = 0
    checkout_waits: WaitHistogram = field(default_factory=dict[int, int])
    checkout_timeouts: int = 0
    busy_waits: int = 0
    events: int = 0
    events_per_second: float = 0.0
    strategy: str = ""
    trouble: Mapping[str, str] = field(default_factory=dict[str, str])
    in_flight: Mapping[str, Spent] = field(default_factory=dict[str, Spent])
    fallbacks: int = 0
    version: str = ""
    limits: tuple[LimitFigures, ...] = ()
    open_steps: tuple[OpenStep, ...] = ()
    saved: int = 0
    waiting: int = 0
    waits: Mapping[str, Durations] = field(default_factory=dict[str, Durations])
    attempts: Mapping[str, CallCounts] = field(default_factory=dict[str, CallCounts])


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A registered worker process.

    Attributes:
        worker_id: id of the worker.
        identity: host, pid and start time of the process.
        executor: the executor that the worker serves.
        concurrency: maximum number of runs at once.
        pool_max: maximum number of database connections.
        beat_age: seconds since the last beat, by the store's clock.
        figures: the figures of the last beat.
    """

    worker_id: str
    identity: ProcessIdentity
    executor: str
    concurrency: int
    pool_max: int
    beat_age: float = 0.0
    figures: Figures = field(default_factory=Figures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The store's answer to a worker's beat.

    Attributes:
        cancelled: runs of this worker with a cancel request.
        paused: runs of this worker with a pause request.
        lost: runs that this worker no longer owns: another worker claimed them, or they are
            queued again, or they ended. If a lease only expired, the beat renews it.
        controls: version of the newest controls.
        drain: whether this worker was asked to drain.
    """

    cancelled: frozenset[str] = frozenset()
    paused: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    controls: int = 0
    drain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A running run that may have lost its owner.

    Attributes:
        run_id: id of the run.
        executor: the executor that the run was submitted to.
        fence: fence of the owner's claim.
        owner: process of the owner; ``None`` if the owner is not registered.
        lapsed: whether the owner's lease has expired, or the owner is not registered.
        lease_left: seconds until the owner's lease expires; 0 if it has expired.
    """

    run_id: str
    executor: str
    fence: int
    owner: ProcessIdentity | None
    lapsed: bool
    lease_left: float = field(default=0.0, compare=False)

    def is_lost(self) -> bool:
        """Whether the owner is gone: its lease has expired, or its process here has exited."""
        return self.lapsed or (self.owner is not None and self.owner.is_gone())


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigures:
    """The database connections of this process.

    Attributes:
        limit: maximum number of connections.
        in_use: number of connections in use.
        peak: maximum number in use at once since the start.
        waits: histogram of the waits for a connection of the pool.
        timeouts: number of waits that timed out.
        busy: number of transactions that waited for another process to release SQLite's lock.
    """

    limit: int
    in_use: int = 0
    peak: int = 0
    waits: WaitHistogram = field(default_factory=dict[int, int])
    timeouts: int = 0
    busy: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The database connections of all processes.

    Attributes:
        server_max: maximum that the server allows; ``None`` for an embedded database.
        reserve: number kept free for people and short commands.
        registered: sum of ``pool_max`` over live workers.
    """

    server_max: int | None
    reserve: int
    registered: int

    @property
    def free(self) -> int | None:
        """Number of connections left for new processes; ``None`` if unlimited."""
        return None if self.server_max is None else self.server_max - self.reserve - self.registered


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaVersion:
    """Version of a store's schema.

    Attributes:
        version: version that the database has; ``None`` without a schema.
        newest: version that this paceline needs.
        too_new: whether a later paceline made the schema, so that this one cannot use it.
    """

    version: str | None
    newest: str
    too_new: bool = False
