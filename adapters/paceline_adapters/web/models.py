"""The answers of the API, as its OpenAPI document describes them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from paceline.client.client import Submitted
from paceline.contracts.admission.limit_figures import LimitUnit
from paceline.contracts.controls import PauseScope
from paceline.contracts.share import Priority
from paceline.contracts.storage.budgets import BudgetScope, CostsBy
from paceline.contracts.storage.records import ConceptStatus, RunStatus
from paceline.contracts.storage.timeline import PhaseKind
from pydantic import BaseModel, Field


class RunAnswer(BaseModel):
    """One generation of one roadmap."""

    run_id: str
    roadmap_id: str
    title: str
    status: RunStatus
    reason: str | None
    executor: str
    tenant: str | None
    weight: float
    priority: Priority
    total: int
    completed: int
    failed: int
    owner: str | None
    cancel_requested: bool
    pause_requested: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: Annotated[float, Field(description="Seconds of work, without pauses.")]
    steps: Annotated[
        list[str] | None, Field(description="The steps; null for the steps of the settings.")
    ]
    only: Annotated[list[str], Field(description="Parts of the roadmap; empty for all of it.")]
    budget: Annotated[
        float | None, Field(description="What the run may cost; null for the settings' limits.")
    ]
    eta_seconds: Annotated[
        float | None,
        Field(description="Seconds until the run ends, estimated; null if that is unknown."),
    ]


class CostAnswer(BaseModel):
    """What one run, tenant, model, step or day has cost."""

    name: Annotated[str, Field(description="Its id or name; empty if it is unknown.")]
    attempts: int
    prompt_tokens: int
    completion_tokens: int
    cost: Annotated[float | None, Field(description="Null if no call had a price.")]
    estimated: bool


class CostsAnswer(BaseModel):
    """What calls have cost."""

    by: CostsBy
    currency: str
    costs: list[CostAnswer]


class BudgetAnswer(BaseModel):
    """How much of one limit is used."""

    scope: Annotated[BudgetScope, Field(description="What the limit is for.")]
    tenant: str | None
    model: Annotated[str | None, Field(description="Provider and model; null for all models.")]
    period: Annotated[str, Field(description="The day or month in UTC.")]
    limit: float
    spent: float
    reserved: Annotated[float, Field(description="What calls in flight have reserved.")]
    low: Annotated[bool, Field(description="Whether 80 % of the limit or more is spent.")]
    state: str


class BudgetsAnswer(BaseModel):
    """How much of each limit of the strategy ``budget`` is used."""

    currency: str
    budgets: list[BudgetAnswer]


class SpentAnswer(BaseModel):
    """What some calls cost."""

    attempts: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    estimated: bool


class RunWithTotals(RunAnswer, SpentAnswer):
    """A run, and what all its calls cost."""

    currency: str
    unsaved: Annotated[SpentAnswer, Field(description="The part that led to no artifact.")]
    duplicates: Annotated[SpentAnswer, Field(description="The part that was paid twice.")]
    generating: int
    waits: Annotated[str | None, Field(description="The pause that its calls wait for.")]
    artifacts: Annotated[int, Field(description="Artifacts that exist.")]
    artifacts_total: Annotated[int, Field(description="Concepts of the run times its steps.")]
    context: Annotated[dict[str, Any], Field(description="The context given at submit.")]


class ListedRun(RunAnswer):
    """A run of a list, with its totals if `totals=true`."""

    artifacts: Annotated[int | None, Field(description="Artifacts that exist.")] = None
    artifacts_total: Annotated[
        int | None, Field(description="Concepts of the run times its steps.")
    ] = None
    cost: Annotated[float | None, Field(description="Null if no call had a price.")] = None
    currency: str | None = None
    estimated: bool | None = None


class RunPage(BaseModel):
    """Runs in order. Pass ``before`` to get the next page."""

    runs: list[ListedRun]
    before: str | None


class SubmittedRun(BaseModel):
    """A run that was submitted or resumed, and what happened to it."""

    submitted: Submitted
    run: RunAnswer


class DeadLetter(BaseModel):
    """A concept that failed for good, and the model's last answer."""

    concept_id: str
    reason: str | None
    attempts: int
    last_answer: str | None


class ResumedRun(SubmittedRun):
    """A resumed run, and the concepts that were failed or missing before."""

    missing: int
    dead_letters: list[DeadLetter]


class ConceptAnswer(BaseModel):
    """A concept of a run."""

    concept_id: str
    name: str
    stage_id: str
    module_id: str
    status: ConceptStatus
    generating: bool
    reason: str | None
    attempts: int
    steps: list[str]
    stale: Annotated[
        list[str],
        Field(description="Steps with an artifact that was made from an older version of another."),
    ]


class ConceptPage(BaseModel):
    """Concepts in the roadmap's order. Pass ``after`` to get the next page."""

    concepts: list[ConceptAnswer]
    after: str | None


class ArtifactFacts(SpentAnswer):
    """One version of an artifact without its content: what made it, and what its calls cost."""

    step: str
    version: Annotated[int, Field(description="Number of the version, from 1.")]
    current: Annotated[bool, Field(description="Whether readers see this version.")]
    changes: Annotated[
        int,
        Field(
            description="How often another version became current, from 1; 0 for other versions."
        ),
    ]
    stale: Annotated[
        bool, Field(description="Whether it was made from an older version of another artifact.")
    ]
    model: str
    currency: str
    seconds: float
    created_at: datetime | None
    fallback: Annotated[
        str | None, Field(description="Why the preferred model did not write it, if so.")
    ]
    instruction: Annotated[str | None, Field(description="What a revision was asked to change.")]
    tenant: Annotated[str | None, Field(description="Tenant that asked for the revision.")]
    requested_by: Annotated[
        str | None, Field(description="Person or program that asked for the revision.")
    ]
    adopted_from: Annotated[
        str | None, Field(description="Run that made it, if this run took it over.")
    ]
    prompt_hash: Annotated[str | None, Field(description="Hash of the first call's messages.")]
    input_hash: Annotated[str | None, Field(description="Hash of what it was made from.")]


class ArtifactAnswer(ArtifactFacts):
    """What one step made for one concept."""

    content: Any


class VersionAnswer(ArtifactFacts):
    """One version of an artifact."""

    content: Annotated[Any, Field(description="Only with `content=true`.")] = None


class VersionList(BaseModel):
    """All versions of an artifact by number; one of them is current."""

    versions: list[VersionAnswer]


class PlaceAnswer(BaseModel):
    """An artifact by its concept and step."""

    concept_id: str
    step: str


class RevisedRun(BaseModel):
    """A run, and its artifacts that are made again."""

    submitted: Annotated[
        Literal["resumed", "attached"] | None,
        Field(
            description="`resumed`: the run had ended and is queued again; `attached`: it is "
            "unfinished and makes the artifacts, too; null: nothing was requested, because of "
            "`dry_run` or because nothing is selected."
        ),
    ]
    run: RunAnswer
    artifacts: Annotated[list[PlaceAnswer], Field(description="What is made again.")]


class ConceptWithArtifacts(ConceptAnswer):
    """A concept with its artifacts and, if it failed, the model's last answer."""

    last_answer: str | None
    artifacts: list[ArtifactAnswer]


class ArtifactList(BaseModel):
    """The artifacts of one concept, in the order of the steps."""

    artifacts: list[ArtifactAnswer]


class PhaseAnswer(BaseModel):
    """One thing that a step did."""

    kind: PhaseKind
    start: Annotated[float, Field(description="Seconds since the step began; may be negative.")]
    seconds: float


class StepTimesAnswer(BaseModel):
    """When a step made its artifact, or tried to."""

    step: str
    began_at: datetime
    ended_at: Annotated[
        datetime,
        Field(description="When it was committed or failed; of an open step the last beat."),
    ]
    seconds: Annotated[float, Field(description="From the beginning to the valid answer.")]
    saving: Annotated[float, Field(description="Seconds from the valid answer to the commit.")]
    attempts: int
    saved: Annotated[bool, Field(description="Whether it led to an artifact.")]
    open: Annotated[bool, Field(description="Whether it is being made.")]
    version: Annotated[int, Field(description="Version of the artifact; 0 without one.")]
    model: str
    adopted: Annotated[bool, Field(description="Whether it was taken over from another run.")]
    phases: Annotated[list[PhaseAnswer], Field(description="Empty if they are not known.")]


class ConceptTimes(BaseModel):
    """A concept, and when its steps worked."""

    concept_id: str
    name: str
    status: ConceptStatus
    reason: str | None
    steps: list[StepTimesAnswer]


class TimelineAnswer(BaseModel):
    """When the concepts of a run worked. Pass ``after`` to get the next page."""

    now: Annotated[datetime, Field(description="The server's time.")]
    concepts: list[ConceptTimes]
    after: str | None


class WorkerAnswer(BaseModel):
    """One worker process."""

    worker_id: str
    host: str
    pid: int | None
    executor: str
    active: list[str]
    reserved: list[str]
    concurrency: int
    concepts: int
    calls: int
    connections: int
    pool_max: int
    events_per_second: float
    strategy: str
    beat_age: float | None
    trouble: dict[str, str]
    version: str


class WorkerList(BaseModel):
    """All live workers, the roadmaps that wait, and the parts that did not answer."""

    queued: Annotated[int, Field(description="Roadmaps that wait for a worker.")]
    workers: list[WorkerAnswer]
    unreachable: list[str]


class LiveSample(BaseModel):
    """Both layers at one moment."""

    at: datetime
    workers: int
    roadmaps: int
    concepts: int
    calls: int
    connections: int
    connections_max: int
    events_per_second: float


class LiveAnswer(BaseModel):
    """Both layers now, also in one sentence, and over the last minutes."""

    sentence: str
    now: LiveSample
    history: list[LiveSample]
    etas: Annotated[
        dict[str, float],
        Field(description="Estimated seconds until each running run of the caller ends, if known."),
    ]


class StrategyOfWorker(BaseModel):
    """The current limits of a worker's strategies, and the reasons."""

    worker_id: str
    explain: str


class StrategyAnswer(BaseModel):
    """The strategies, outer first, and why this number of concepts is in flight."""

    strategy: list[str]
    options: dict[str, dict[str, Any]]
    workers: list[StrategyOfWorker]
    why: str
    held_back: Annotated[str, Field(description="Which limits hold work back, in a sentence.")]


class LimitHistory(BaseModel):
    """A limit over the last minutes: one number per sample in each list, oldest first."""

    at: list[datetime]
    used: list[int]
    quota: list[int]
    waiting: list[int]
    refused: list[int]


class LimitChange(BaseModel):
    """A reason that a limit gave, and when it was seen first."""

    at: datetime
    quota: int
    reason: str


class LimitAnswer(BaseModel):
    """One limit at work, over all workers."""

    strategy: str
    key: Annotated[str, Field(description="Model or resource; empty for everything.")]
    unit: LimitUnit
    used: int
    quota: int
    waiting: int
    refused: Annotated[int, Field(description="Refused calls since the workers started.")]
    shared: Annotated[bool, Field(description="Whether all workers together have the quota.")]
    reason: str
    history: Annotated[LimitHistory | None, Field(description="Only with `history=true`.")] = None
    changes: Annotated[
        list[LimitChange], Field(description="Reasons of the last minutes, the latest first.")
    ]


class LimitList(BaseModel):
    """All limits at work, and in one sentence what they hold back."""

    limits: list[LimitAnswer]
    why: str


class SinkAnswer(BaseModel):
    """How far the deliveries to one sink are; the reason only for callers that see all runs."""

    sink: str
    state: str
    waiting: int
    oldest: float
    dead: int
    delivered: int
    failures: int
    down_for: float
    reason: str | None
    retry_in: float


class SinkList(BaseModel):
    """The sinks of the settings."""

    sinks: list[SinkAnswer]


class PauseAnswer(BaseModel):
    """What is paused, who paused it, and why."""

    target: Annotated[str, Field(description="`everything`, `tenant:NAME` or `key:KEY`.")]
    scope: PauseScope
    name: Annotated[str | None, Field(description="The tenant or the key.")]
    reason: str
    by: str
    at: datetime | None
    state: Annotated[str, Field(description="The same in one sentence.")]


class ControlLimitAnswer(BaseModel):
    """One limit over all workers."""

    limit: Annotated[str, Field(description="`global`, or `resource:NAME`.")]
    key: Annotated[str | None, Field(description="The model, or a key of the resource.")]
    settings: Annotated[dict[str, int], Field(description="The numbers of the settings.")]
    changed: Annotated[dict[str, int], Field(description="The numbers that replace them.")]
    version: int
    by: str | None
    at: datetime | None
    held: int
    waiting: int
    requests: int
    tokens: int
    request_quota: int | None
    token_quota: int | None
    why: Annotated[str, Field(description="Why the next call waits; empty if none waits.")]


class ControlsAnswer(BaseModel):
    """What is paused, and the limits over all workers."""

    version: int
    pauses: list[PauseAnswer]
    limits: list[ControlLimitAnswer]


class AuditAnswer(BaseModel):
    """One line of the audit log."""

    number: int
    at: datetime | None
    by: str
    action: str
    subject: str
    detail: str
    tenant: str | None


class AuditPage(BaseModel):
    """Lines of the audit log, newest first. Pass ``before`` to get the next page."""

    entries: list[AuditAnswer]
    before: int | None


class SessionAnswer(BaseModel):
    """The caller, and the parts of this server."""

    tenant: str
    scope: str
    operator: Annotated[
        bool, Field(description="Whether the caller may control what concerns all tenants.")
    ]
    token_required: bool
    parts: dict[str, str]


class TicketAnswer(BaseModel):
    """A ticket that opens one stream, passed as ``?ticket=``."""

    ticket: str
    expires_in: float


class HealthAnswer(BaseModel):
    """The health of the process."""

    status: str
