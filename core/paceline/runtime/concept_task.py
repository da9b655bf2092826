"""One concept: its steps in order, each one call to the provider, each saved at once."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import cast

from pydantic import BaseModel

from paceline import log_context
from paceline.contracts.provider import CompletionRequest, JsonSchema
from paceline.contracts.records import Artifact, Claim, ConceptState
from paceline.contracts.step import Step, Subject
from paceline.contracts.telemetry import Span
from paceline.contracts.work import Level, Work
from paceline.errors import ProviderUnusable
from paceline.roadmaps.model import Concept, Module, Roadmap, Stage
from paceline.runtime.llm_call import Answer, Caller, CallFailed, Tally
from paceline.runtime.parts import Parts
from paceline.runtime.progress import Progress
from paceline.runtime.provider_health import ALIKE, ProviderHealth
from paceline.runtime.save_backlog import SaveBacklog
from paceline.runtime.task_state import TaskState

log = logging.getLogger("paceline.pipeline")


@dataclass(slots=True)
class RunInWork:
    """What all concepts of a run share.

    Attributes:
        parts: the parts of the process.
        claim: the right to write the run.
        roadmap: the run's roadmap.
        progress: counts finished concepts and publishes events.
        saved: number of artifacts saved so far.
        names: the names of the roadmap's concepts, by id.
        backlog: counts answers that are not saved yet.
        health: what the calls tell about the provider.
        drain: starts no further call of the run.
        unusable: why no further call can succeed.
        unsaved: what calls cost that left neither an artifact nor a failed concept.
    """

    parts: Parts
    claim: Claim
    roadmap: Roadmap
    progress: Progress
    saved: int = 0
    names: Mapping[str, str] = field(init=False)
    backlog: SaveBacklog = field(default_factory=SaveBacklog)
    health: ProviderHealth = field(init=False)
    drain: Callable[[], None] = lambda: None
    unusable: ProviderUnusable | None = None
    unsaved: Tally = field(default_factory=Tally)
    _undecided: list[tuple[str, CallFailed, int]] = field(
        default_factory=list[tuple[str, CallFailed, int]]
    )

    def __post_init__(self) -> None:
        self.names = {concept.concept_id: concept.name for _, _, concept in self.roadmap.concepts()}
        self.health = ProviderHealth(self.parts.settings.provider)

    def end(self, error: ProviderUnusable) -> None:
        """Start no further call, because none can succeed; calls in flight are saved."""
        if self.unusable is None:
            self.unusable = error
            self.drain()

    async def fail(self, concept_id: str, failure: CallFailed, attempts: int) -> None:
        """Record that a concept failed, unless the provider may be to blame.

        Until a first answer is usable, a failure waits for what others bring. If the first
        concepts fail alike, the run ends and they stay pending.
        """
        if self.health.usable or failure.pattern is None:
            await self._record(concept_id, failure, attempts)
            return
        self._undecided.append((concept_id, failure, attempts))
        alike = [one for _, one, _ in self._undecided if one.pattern == failure.pattern]
        if len(alike) >= ALIKE:
            self.end(ProviderUnusable(f"the first {len(alike)} concepts failed alike: {failure}"))

    async def record_undecided(self) -> None:
        """Record the failures that waited: the provider is not to blame."""
        while self._undecided and self.unusable is None:
            await self._record(*self._undecided.pop())
        for _, failure, _ in self._undecided:
            self.unsaved.add(failure.tally)

    async def _record(self, concept_id: str, failure: CallFailed, attempts: int) -> None:
        state = ConceptState(
            concept_id=concept_id,
            status="failed",
            reason=str(failure),
            attempts=attempts,
            last_answer=failure.last_answer,
        )
        await self.parts.store.save_concept(self.claim, state)
        log.info("concept %s failed: %s", concept_id, failure)
        self.progress.failed(concept_id, str(failure))


@dataclass(slots=True)
class ConceptTask:
    """Generates what is missing of one concept.

    Attributes:
        run: what all concepts of the run share.
        state: whether the task may be stopped now.
        stage: the concept's stage.
        module: the concept's module.
        concept: the concept.
        existing: the steps with existing artifacts.
        spent: what the present call has cost so far.
    """

    run: RunInWork
    state: TaskState
    stage: Stage
    module: Module
    concept: Concept
    existing: frozenset[str]
    spent: Tally = field(default_factory=Tally)

    def work(self, level: Level, *, step: str | None = None) -> Work:
        """What asks for admission: the concept, or a call of one of its steps."""
        run = self.run
        return Work(
            level=level,
            run_id=run.claim.run_id,
            roadmap_id=run.roadmap.roadmap_id,
            concept_id=self.concept.concept_id,
            key=run.parts.provider.key,
            step=step,
            tenant=run.claim.share.tenant,
            weight=run.claim.share.weight,
        )

    async def generate(self) -> None:
        """Run the missing steps.

        If no call can succeed, the run ends.

        Raises:
            StaleFence: another worker owns the run.
            PartUnavailable: the store stayed unreachable for too long.
        """
        concept_id = self.concept.concept_id
        log_context.bind(concept_id=concept_id)
        with self.run.parts.telemetry.concept(self.run.claim, concept_id) as span:
            try:
                await self._generate(span)
            except ProviderUnusable as error:
                self.run.end(error)
                span.failed()
            finally:
                self.run.unsaved.add(self.spent)

    async def _generate(self, span: Span) -> None:
        run, concept_id = self.run, self.concept.concept_id
        run.progress.generating(concept_id)
        missing = [(name, step) for name, step in run.parts.steps if name not in self.existing]
        if not missing:
            await run.parts.store.save_concept(run.claim, self._completed(0))
            run.progress.saved(concept_id, None, completed=True)
            return
        earlier = await self._earlier()
        attempts = 0
        try:
            for name, step in missing:
                log_context.bind(step=name)
                last = name == missing[-1][0]
                with run.parts.telemetry.step(name):
                    answer = await self._ask(name, step, earlier)
                    attempts += answer.tally.attempts
                    earlier[name] = answer.value
                    await self._save(name, answer, self._completed(attempts) if last else None)
                    self.spent = Tally()
                run.progress.saved(concept_id, name, completed=last)
        except CallFailed as failure:
            self.spent = Tally()
            span.failed()
            await run.fail(concept_id, failure, attempts + failure.tally.attempts)

    async def _save(
        self, name: str, answer: Answer[BaseModel], concept: ConceptState | None
    ) -> None:
        run = self.run
        with run.backlog.saving(), run.parts.telemetry.save(name):
            await run.parts.store.save(run.claim, self._artifact(name, answer), concept=concept)
        run.saved += 1
        run.parts.gauges.saved += 1
        await run.record_undecided()

    async def _earlier(self) -> dict[str, BaseModel]:
        """Existing artifacts of an interrupted concept, for the prompts of the missing steps."""
        if not self.existing:
            return {}
        run = self.run
        found = await run.parts.store.artifacts(
            run.claim.run_id, concept_id=self.concept.concept_id
        )
        models = dict(run.parts.steps)
        return {
            artifact.step: models[artifact.step].answer.model_validate_json(artifact.content)
            for artifact in found
            if artifact.step in models
        }

    async def _ask(
        self, name: str, step: Step, earlier: Mapping[str, BaseModel]
    ) -> Answer[BaseModel]:
        run = self.run
        settings = run.parts.settings.provider
        subject = Subject(
            roadmap_id=run.roadmap.roadmap_id,
            roadmap_title=run.roadmap.title,
            stage=self.stage.name,
            module=self.module.name,
            concept=self.concept,
            prerequisites=[run.names[needed] for needed in self.concept.prerequisites],
            language=settings.language,
            earlier=earlier,
        )
        request = CompletionRequest(
            messages=tuple(step.prompt(subject)),
            step=name,
            schema=_schema(step.answer),
            max_tokens=step.max_tokens,
        )
        caller = Caller(run.parts.provider, run.parts.strategy, settings, self.state, run.health)
        ids = {subject.roadmap_id, self.concept.concept_id}
        return await caller.ask(
            self.work("call", step=name), request, step, tally=self.spent, ids=ids
        )

    def _artifact(self, name: str, answer: Answer[BaseModel]) -> Artifact:
        return Artifact(
            concept_id=self.concept.concept_id,
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
        settings = self.run.parts.settings.provider
        if settings.prompt_price is None or settings.completion_price is None:
            return None
        prompts = tally.prompt_tokens * settings.prompt_price
        return (prompts + tally.completion_tokens * settings.completion_price) / 1e6

    def _completed(self, attempts: int) -> ConceptState:
        return ConceptState(
            concept_id=self.concept.concept_id, status="completed", attempts=attempts
        )


@cache
def _schema(answer: type[BaseModel]) -> JsonSchema:
    return cast("JsonSchema", answer.model_json_schema())
