"""A run's concepts: each admitted, then worked on in a task of its own, step by step."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import cast

from pydantic import BaseModel

from paceline import log_context
from paceline.contracts.provider import CompletionRequest, JsonSchema
from paceline.contracts.records import Artifact, Claim, ConceptState
from paceline.contracts.step import Step, Subject
from paceline.contracts.telemetry import Span
from paceline.contracts.work import Done, Failed, Level, Outcome, Permit, Work
from paceline.errors import first_cause
from paceline.roadmaps.model import Concept, Module, Roadmap, Stage
from paceline.runtime.gc_frozen import gc_frozen
from paceline.runtime.llm_call import Answer, Caller, CallFailed, Outage, Tally
from paceline.runtime.parts import Parts
from paceline.runtime.progress import Progress
from paceline.runtime.save_backlog import Backlog
from paceline.runtime.task_state import TaskState

log = logging.getLogger("paceline.pipeline")

#: Concepts of a run that may wait for their first call at once: started ones go first.
WAITING_FOR_FIRST_CALL = 32


@dataclass(frozen=True, slots=True)
class _Job:
    """One open concept, where it stands, and the steps it has already."""

    stage: Stage
    module: Module
    concept: Concept
    done: frozenset[str]

    @property
    def concept_id(self) -> str:
        return self.concept.concept_id


@dataclass(slots=True)
class Pipeline:
    """Generates what is missing of one run.

    Attributes:
        parts: what the process works with.
        claim: the right to write the run.
        roadmap: its roadmap.
        existing: the steps whose artifacts exist, by concept.
        finished: concepts that an earlier claim of the run completed or failed.
        progress: counts finished concepts and tells of them.
        saved: artifacts saved since this pipeline began.
        drained: told to begin nothing more.
    """

    parts: Parts
    claim: Claim
    roadmap: Roadmap
    existing: Mapping[str, frozenset[str]]
    finished: frozenset[str]
    progress: Progress
    saved: int = 0
    drained: bool = False
    _spawner: asyncio.Task[None] | None = None
    _flights: dict[asyncio.Task[None], TaskState] = field(
        default_factory=dict[asyncio.Task[None], TaskState]
    )
    _names: dict[str, str] = field(default_factory=dict[str, str])
    _backlog: Backlog = field(default_factory=Backlog)
    _outage: Outage = field(default_factory=Outage)

    async def generate(self) -> None:
        """Work on every open concept; returns when all are finished, or drained.

        A concept that fails is recorded and the others go on.

        Raises:
            StaleFence: the run has another owner.
            ProviderUnusable: no concept can be generated.
            PartUnavailable: the store is away for longer than it may be.
        """
        self._names = {
            concept.concept_id: concept.name for _, _, concept in self.roadmap.concepts()
        }
        if self.drained:
            return  # told so before it began
        try:
            with gc_frozen(self.progress.total):
                async with asyncio.TaskGroup() as tasks:
                    self._spawner = tasks.create_task(self._spawn(tasks))
        except BaseExceptionGroup as group:
            raise first_cause(group) from None

    def drain(self) -> None:
        """Begin no further call; calls in flight end, and what they bring is saved."""
        self.drained = True
        if self._spawner is not None:
            self._spawner.cancel()
        for task, flight in self._flights.items():
            flight.drained = True
            if flight.resting:
                task.cancel()

    async def _spawn(self, tasks: asyncio.TaskGroup) -> None:
        strategy = self.parts.strategy
        # A strategy that governs calls only would let every concept start and wait.
        queue = None if "concept" in strategy.levels else asyncio.Semaphore(WAITING_FOR_FIRST_CALL)
        clock = asyncio.get_running_loop()
        for stage, module, concept in self.roadmap.concepts():
            if concept.concept_id in self.finished:
                continue
            job = _Job(stage, module, concept, self.existing.get(concept.concept_id, frozenset()))
            await self._backlog.room()
            if queue is not None:
                await queue.acquire()
            asked = self._work("concept", job)
            with self.parts.telemetry.admit(asked), self.parts.gauges.wait():
                permit = await strategy.admit(asked)
            self.parts.gauges.concepts += 1
            flight = TaskState(self.parts.gauges, queue, telemetry=self.parts.telemetry)
            task = tasks.create_task(self._concept(job, flight))
            self._flights[task] = flight
            # Not a `finally` in the task: one cancelled before its first step runs none.
            task.add_done_callback(partial(self._over, permit=permit, started=clock.time()))

    def _over(self, task: asyncio.Task[None], *, permit: Permit, started: float) -> None:
        self._flights.pop(task).leave_queue()
        self.parts.gauges.concepts -= 1
        outcome: Outcome = Failed()
        if not task.cancelled() and task.exception() is None:
            outcome = Done(seconds=asyncio.get_running_loop().time() - started)
        permit.release(outcome)

    async def _concept(self, job: _Job, flight: TaskState) -> None:
        """Make what is missing of one concept, in its task's own context."""
        log_context.bind(concept_id=job.concept_id)
        with self.parts.telemetry.concept(self.claim, job.concept_id) as span:
            await self._make(job, flight, span)

    async def _make(self, job: _Job, flight: TaskState, span: Span) -> None:
        self.progress.generating(job.concept_id)
        attempts = 0
        missing = [(name, step) for name, step in self.parts.steps if name not in job.done]
        if not missing:
            await self.parts.store.save_concept(self.claim, _completed(job, attempts))
            self.progress.saved(job.concept_id, None, completed=True)
            return
        earlier = await self._earlier(job)
        try:
            for name, step in missing:
                log_context.bind(step=name)
                with self.parts.telemetry.step(name):
                    answer = await self._ask(job, name, step, earlier, flight)
                    attempts += answer.tally.attempts
                    earlier[name] = answer.value
                    last = name == missing[-1][0]
                    with self._backlog.saving(), self.parts.telemetry.save(name):
                        await self.parts.store.save(
                            self.claim,
                            self._artifact(job, name, answer),
                            concept=_completed(job, attempts) if last else None,
                        )
                self.saved += 1
                self.parts.gauges.saved += 1
                self.progress.saved(job.concept_id, name, completed=last)
        except CallFailed as failure:
            state = ConceptState(
                concept_id=job.concept_id,
                status="failed",
                reason=str(failure),
                attempts=attempts + failure.tally.attempts,
                last_answer=failure.last_answer,
            )
            await self.parts.store.save_concept(self.claim, state)
            span.failed()
            log.info("concept %s failed: %s", job.concept_id, failure)
            self.progress.failed(job.concept_id, str(failure))

    async def _earlier(self, job: _Job) -> dict[str, BaseModel]:
        """What an interrupted concept has already, for the prompts of what it lacks."""
        if not job.done:
            return {}
        found = await self.parts.store.artifacts(self.claim.run_id, concept_id=job.concept_id)
        models = dict(self.parts.steps)
        return {
            artifact.step: models[artifact.step].answer.model_validate_json(artifact.content)
            for artifact in found
            if artifact.step in models
        }

    async def _ask(
        self, job: _Job, name: str, step: Step, earlier: Mapping[str, BaseModel], flight: TaskState
    ) -> Answer[BaseModel]:
        subject = Subject(
            roadmap_id=self.roadmap.roadmap_id,
            roadmap_title=self.roadmap.title,
            stage=job.stage.name,
            module=job.module.name,
            concept=job.concept,
            prerequisites=[self._names[needed] for needed in job.concept.prerequisites],
            language=self.parts.settings.provider.language,
            earlier=earlier,
        )
        request = CompletionRequest(
            messages=tuple(step.prompt(subject)),
            step=name,
            schema=_schema(step.answer),
            max_tokens=step.max_tokens,
        )
        provider, settings = self.parts.provider, self.parts.settings.provider
        caller = Caller(provider, self.parts.strategy, settings, flight, self._outage)
        return await caller.ask(self._work("call", job, step=name), request, step)

    def _work(self, level: Level, job: _Job, *, step: str | None = None) -> Work:
        return Work(
            level=level,
            run_id=self.claim.run_id,
            roadmap_id=self.roadmap.roadmap_id,
            concept_id=job.concept_id,
            key=self.parts.provider.key,
            step=step,
            tenant=self.claim.share.tenant,
            weight=self.claim.share.weight,
        )

    def _artifact(self, job: _Job, name: str, answer: Answer[BaseModel]) -> Artifact:
        return Artifact(
            concept_id=job.concept_id,
            step=name,
            content=answer.value.model_dump_json(),
            model=answer.model,
            prompt_tokens=answer.tally.prompt_tokens,
            completion_tokens=answer.tally.completion_tokens,
            cost=self._cost(answer.tally),
            seconds=answer.seconds,
            attempts=answer.tally.attempts,
        )

    def _cost(self, tally: Tally) -> float | None:
        settings = self.parts.settings.provider
        if settings.prompt_price is None or settings.completion_price is None:
            return None
        prompts = tally.prompt_tokens * settings.prompt_price
        return (prompts + tally.completion_tokens * settings.completion_price) / 1e6


def _completed(job: _Job, attempts: int) -> ConceptState:
    return ConceptState(concept_id=job.concept_id, status="completed", attempts=attempts)


@cache
def _schema(answer: type[BaseModel]) -> JsonSchema:
    return cast("JsonSchema", answer.model_json_schema())
