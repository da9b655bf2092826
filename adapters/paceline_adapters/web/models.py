"""The API's answers, as its OpenAPI document shows them."""

from datetime import datetime
from typing import Any

from paceline.client.client import Submitted
from paceline.contracts.records import ConceptStatus, RunStatus
from pydantic import BaseModel


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
    total: int
    completed: int
    failed: int
    owner: str | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RunWithTotals(RunAnswer):
    """A run, and what its artifacts cost."""

    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    generating: int


class RunPage(BaseModel):
    """Runs, newest first; ``before`` asks for the next page."""

    runs: list[RunAnswer]
    before: str | None


class SubmittedRun(BaseModel):
    """A run that was submitted or resumed, and what that came to."""

    submitted: Submitted
    run: RunAnswer


class DeadLetter(BaseModel):
    """A concept that failed for good, and what it last heard."""

    concept_id: str
    reason: str | None
    attempts: int
    last_answer: str | None


class RetriedRun(BaseModel):
    """A run that was queued again, and what had failed."""

    run: RunAnswer
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


class ConceptPage(BaseModel):
    """Concepts in the roadmap's order; ``after`` asks for the next page."""

    concepts: list[ConceptAnswer]
    after: str | None


class ArtifactAnswer(BaseModel):
    """What a step made for one concept."""

    step: str
    content: Any
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    seconds: float
    attempts: int
    created_at: datetime | None


class ConceptWithArtifacts(ConceptAnswer):
    """A concept, its last answer if it failed, and all that was made for it."""

    last_answer: str | None
    artifacts: list[ArtifactAnswer]


class ArtifactList(BaseModel):
    """What was made for one concept, in the order of the steps."""

    artifacts: list[ArtifactAnswer]


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


class WorkerList(BaseModel):
    """All workers that beat, and parts that did not answer."""

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
    """Both layers now, in one sentence, and over the last minutes."""

    sentence: str
    now: LiveSample
    history: list[LiveSample]


class StrategyOfWorker(BaseModel):
    """What a worker's strategy says of itself: the limits now, and why."""

    worker_id: str
    explain: str


class StrategyAnswer(BaseModel):
    """The strategies, outer to inner, and why so many concepts are in flight."""

    strategy: list[str]
    options: dict[str, dict[str, Any]]
    workers: list[StrategyOfWorker]
    why: str


class SessionAnswer(BaseModel):
    """Who asks, and what paceline is made of here."""

    tenant: str
    scope: str
    token_required: bool
    parts: dict[str, str]


class TicketAnswer(BaseModel):
    """A ticket that opens one stream, as ``?ticket=``."""

    ticket: str
    expires_in: float


class HealthAnswer(BaseModel):
    """Whether it is well."""

    status: str
