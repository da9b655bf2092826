"""One concept: its missing steps, each made as soon as what it needs is there and saved at once."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pydantic import BaseModel, ValidationError

from paceline import log_context
from paceline.calls.llm_call import CallFailed
from paceline.calls.models import Model
from paceline.calls.provider_health import ALIKE, ProviderHealth
from paceline.calls.tally import Tally
from paceline.calls.task_state import TaskState
from paceline.calls.trace import Trace
from paceline.contracts.admission.work import Level, Work
from paceline.contracts.steps.step import Step, Subject
from paceline.contracts.storage.records import (
    NOTHING_REPLACED,
    Artifact,
    Claim,
    ConceptState,
    Replaced,
)
from paceline.contracts.storage.spending import Charge
from paceline.contracts.storage.versions import Revision
from paceline.errors import PluginError, ProviderUnusable, RunPaused
from paceline.generation.journal import Journal
from paceline.generation.making_step import MakingStep
from paceline.generation.parts import Parts
from paceline.generation.progress import Progress
from paceline.generation.save_backlog import SaveBacklog
from paceline.roadmaps.model import Concept, Module, Roadmap, Stage
from paceline.steps.inputs import ConceptInputs, Inputs

log = logging.getLogger("paceline.pipeline")


@dataclass(slots=True)
class RunInWork:
    """What all concepts of a run share.

    Attributes:
        parts: the parts of the process.
        claim: the right to write the run.
        roadmap: the run's roadmap.
        progress: counts finished concepts and publishes events.
        steps: the steps of the run with their names, in order.
        saved: number of artifacts saved so far.
        names: the names of the roadmap's concepts, by id.
        backlog: counts answers that are not saved yet.
        healths: what the calls tell about each model, by its name.
        drain: starts no further call of the run.
        unusable: why no further call can succeed.
        paused: why no further call may start for now.
        unsaved: what calls cost that left neither an artifact nor a failed concept.
        context: the run's context, as it was given at submit.
        inputs: the hashes of what artifacts are made from.
    """

    parts: Parts
    claim: Claim
    roadmap: Roadmap
    progress: Progress
    steps: Sequence[tuple[str, Step]]
    saved: int = 0
    names: Mapping[str, str] = field(init=False)
    backlog: SaveBacklog = field(default_factory=SaveBacklog)
    healths: dict[str, ProviderHealth] = field(default_factory=dict[str, ProviderHealth])
    drain: Callable[[], None] = lambda: None
    unusable: ProviderUnusable | None = None
    paused: RunPaused | None = None
    unsaved: list[Charge] = field(default_factory=list[Charge])
    context: Mapping[str, object] = field(default_factory=dict[str, object])
    inputs: Inputs = field(init=False)
    _keys: dict[str, str] = field(default_factory=dict[str, str])
    _undecided: list[tuple[CallFailed, Charge]] = field(
        default_factory=list[tuple[CallFailed, Charge]]
    )

    def __post_init__(self) -> None:
        parts = self.parts
        self.inputs = Inputs(parts.settings, parts.steps, parts.needs, self.context)
        self.names = {concept.concept_id: concept.name for _, _, concept in self.roadmap.concepts()}

    def key_of(self, step: str) -> str:
        """What the quota of a step's first model is counted for."""
        if step not in self._keys:
            self._keys[step] = self.parts.key_of(step)
        return self._keys[step]

    @property
    def key(self) -> str:
        """What the quota of a concept's first call is counted for."""
        return self.key_of(self.parts.steps[0][0])

    def health(self, model: Model) -> ProviderHealth:
        """What the run's calls tell about a model."""
        if model.name not in self.healths:
            self.healths[model.name] = ProviderHealth(model.settings, self._trouble_changed)
        return self.healths[model.name]

    @property
    def advice(self) -> str | None:
        """What to change if none of a model's answers could be used."""
        unable = [
            one for one, health in self.healths.items() if health.answers > health.usable == 0
        ]
        if not unable:
            return None
        return f"no answer of model {', '.join(unable)} could be used: choose a larger model"

    def _trouble_changed(self, trouble: str | None) -> None:
        """Report in the figures and events that calls wait, or that they no longer do."""
        gauges, run_id = self.parts.gauges, self.claim.run_id
        gauges.trouble.pop(run_id, None)
        if trouble is not None:
            gauges.trouble[run_id] = trouble
        self.progress.waiting(trouble)

    def charge(self, concept_id: str, step: str, tally: Tally, trace: Trace) -> Charge:
        """What a step has cost so far, and when."""
        return Charge(
            concept_id=concept_id,
            step=step,
            spent=tally.spent(),
            seconds=trace.seconds,
            phases=tuple(trace.phases),
        )

    def end(self, error: ProviderUnusable) -> None:
        """Start no further call, because none can succeed; calls in flight are saved."""
        if self.unusable is None:
            self.unusable = error
            self.drain()

    def pause(self, error: RunPaused) -> None:
        """Start no further call, because the strategy pauses the run; calls in flight are saved."""
        if self.paused is None:
            self.paused = error
            self.drain()

    def stop(self, error: ProviderUnusable | RunPaused) -> None:
        """End or pause the run."""
        if isinstance(error, RunPaused):
            self.pause(error)
        else:
            self.end(error)

    async def fail(self, failure: CallFailed, charge: Charge) -> None:
        """Record that a concept failed, unless the provider may be to blame.

        Until a first answer is usable, a failure waits for what others bring. If the first
        concepts fail alike, the run ends and they stay pending.
        """
        if failure.pattern is None or any(one.usable for one in self.healths.values()):
            await self._record(failure, charge)
            return
        self._undecided.append((failure, charge))
        alike = [one for one, _ in self._undecided if one.pattern == failure.pattern]
        if len(alike) >= ALIKE:
            self.end(ProviderUnusable(f"the first {len(alike)} concepts failed alike: {failure}"))

    async def record_undecided(self) -> None:
        """Record the failures that waited: the provider is not to blame."""
        while self._undecided and self.unusable is None:
            await self._record(*self._undecided.pop())
        self.unsaved += [charge for _, charge in self._undecided]
        self._undecided.clear()

    async def _record(self, failure: CallFailed, charge: Charge) -> None:
        concept_id = charge.concept_id
        state = ConceptState(
            concept_id=concept_id,
            status="failed",
            reason=str(failure),
            last_answer=failure.last_answer,
        )
        try:
            await self.parts.store.save_concept(self.claim, state, charge=charge)
        except BaseException:
            self.unsaved.append(charge)
            raise
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
        existing: the steps with artifacts that stay as they are.
        revisions: the steps with a request for a new version, and the request.
        inputs: the hashes of what each artifact is made from.
        waited: seconds that the concept waited for its admission.
    """

    run: RunInWork
    state: TaskState
    stage: Stage
    module: Module
    concept: Concept
    existing: frozenset[str]
    revisions: Mapping[str, Revision] = field(default_factory=dict[str, Revision])
    waited: float = 0.0
    inputs: ConceptInputs = field(init=False)
    journal: Journal = field(init=False)
    _earlier: dict[str, BaseModel] = field(default_factory=dict[str, BaseModel])
    _replaced: dict[str, str] = field(default_factory=dict[str, str])
    _saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    _unsaved: set[str] = field(default_factory=set[str])
    _failures: list[tuple[CallFailed, Charge]] = field(
        default_factory=list[tuple[CallFailed, Charge]]
    )

    def __post_init__(self) -> None:
        run = self.run
        self.journal = Journal(run.parts.store, run.claim, self.concept.concept_id)
        self.inputs = run.inputs.of(self.concept)

    def work(self, level: Level = "concept", step: str | None = None) -> Work:
        """What asks for the admission of the concept, or of a call of one of its steps."""
        run = self.run
        revises = step in self.revisions if step is not None else bool(self.revisions)
        return Work(
            level=level,
            run_id=run.claim.run_id,
            roadmap_id=run.roadmap.roadmap_id,
            concept_id=self.concept.concept_id,
            key=run.key if step is None else run.key_of(step),
            step=step,
            tenant=run.claim.share.tenant,
            weight=run.claim.share.weight,
            stage_id=self.stage.stage_id,
            module_id=self.module.module_id,
            context=run.context,
            priority="high" if revises else run.claim.share.priority,
        )

    async def generate(self) -> None:
        """Make the missing steps. If no call can succeed, the run ends.

        Raises:
            StaleFence: another worker owns the run.
            PartUnavailable: the store stayed unreachable for too long.
        """
        run, concept_id = self.run, self.concept.concept_id
        log_context.bind(concept_id=concept_id)
        with run.parts.telemetry.concept(run.claim, concept_id) as span, self.state.working():
            run.progress.generating(concept_id)
            missing = [(name, step) for name, step in run.steps if name not in self.existing]
            if not missing:
                await run.parts.store.save_concept(run.claim, self._completed())
                run.progress.saved(concept_id, None, completed=True)
                return
            try:
                self._earlier = await self._existing_answers()
                self._unsaved = {name for name, _ in missing}
                await self._make_all(missing)
            except (ProviderUnusable, RunPaused) as error:
                run.stop(error)
                span.failed()
            else:
                if self._failures:
                    span.failed()
                    await self._fail()

    async def _make_all(self, missing: Sequence[tuple[str, Step]]) -> None:
        """Make each step when what it needs is there; steps that need a failed one are left out."""
        needs, left = self.run.parts.needs, dict(missing)
        if len(left) == 1 or self._is_serial(left):
            for name, step in missing:
                if not await self._make(name, step):
                    return
            return
        self.state.work()  # the tasks of the steps rest, not this one
        running: dict[asyncio.Task[bool], str] = {}
        try:
            while True:
                for name in [one for one in left if not needs[one] & self._unsaved]:
                    making = self._make(name, left.pop(name))
                    running[asyncio.get_running_loop().create_task(making)] = name
                if not running:
                    return
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
                    task.result()
        except (ProviderUnusable, RunPaused) as error:
            self.run.stop(error)  # calls of other steps in flight are saved
            raise
        finally:
            if running:
                await self._stop(running)

    async def _stop(self, running: Mapping["asyncio.Task[bool]", str]) -> None:
        """Stop the other steps: at once, or after their calls in flight if the run is drained."""
        try:
            if self.state.drained:
                await asyncio.wait(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            for task in running:
                if not task.cancelled():
                    task.exception()  # the first error is raised

    def _is_serial(self, left: Mapping[str, Step]) -> bool:
        """Whether each step needs the one before it, so that no two can run at once."""
        needs, names = self.run.parts.needs, list(left)
        return all(before in needs[name] for before, name in pairwise(names))

    async def _make(self, name: str, step: Step) -> bool:
        """Make and save one step; returns whether it succeeded."""
        run, concept_id = self.run, self.concept.concept_id
        log_context.bind(step=name)
        making = MakingStep(self, name, step)
        place = run.claim.run_id, concept_id, name
        run.parts.open_steps[place] = making.trace
        try:
            with run.parts.telemetry.step(name):
                artifact, answer = await making.artifact()
                async with self._saving:
                    last = self._unsaved == {name}
                    await self._save(artifact, making, self._completed() if last else None)
                    self._unsaved.discard(name)
            self._earlier[name] = answer
            making.tally.clear()
            run.progress.saved(concept_id, name, completed=last)
        except CallFailed as failure:
            self._failures.append(
                (failure, run.charge(concept_id, name, making.tally, making.trace))
            )
            making.tally.clear()
            return False
        finally:
            run.parts.open_steps.pop(place, None)
            if making.tally.attempts:
                run.unsaved.append(run.charge(concept_id, name, making.tally, making.trace))
        return True

    async def _save(
        self, artifact: Artifact, making: MakingStep, concept: ConceptState | None
    ) -> None:
        run, store = self.run, self.run.parts.store
        step, revision = artifact.step, self.revisions.get(artifact.step)
        replaced = NOTHING_REPLACED
        journaled = step in making.journal.steps and not run.parts.settings.run.keep_journal
        if journaled or revision is not None:
            replaced = Replaced(
                journal=journaled,
                revision=None if revision is None else revision.number,
                stale=() if revision is None else run.parts.graph().dependents(step),
            )
        with run.backlog.saving(), run.parts.telemetry.save(step):
            try:
                await store.save(run.claim, artifact, concept=concept, replaced=replaced)
            except PluginError as error:  # a sink that writes in the artifact's transaction
                raise CallFailed(str(error)) from None
        run.saved += 1
        run.parts.gauges.saved += 1
        await run.record_undecided()

    async def _fail(self) -> None:
        """Record that the concept failed, with what each failed step cost."""
        (failure, charge), *others = self._failures
        self.run.unsaved += [charge for _, charge in others]
        if others:
            reason = "; ".join(f"{one.step}: {error}" for error, one in self._failures)
            failure = CallFailed(reason, failure.last_answer, failure.pattern)
        await self.run.fail(failure, charge)

    async def _existing_answers(self) -> dict[str, BaseModel]:
        """Existing artifacts of the concept, for the prompts of the steps to make."""
        if not self.existing and not self.revisions:
            return {}
        run = self.run
        found = await run.parts.store.artifacts(
            run.claim.run_id, concept_id=self.concept.concept_id
        )
        steps = dict(run.parts.steps)
        answers: dict[str, BaseModel] = {}
        for artifact in found:
            if artifact.step not in steps:
                continue
            if artifact.step in self.revisions:
                self._replaced[artifact.step] = artifact.content
            try:
                made = steps[artifact.step].answer.model_validate_json(artifact.content)
            except ValidationError:
                log.warning(
                    "the artifact of step %s does not fit the step that the settings choose now: "
                    "prompts are made without it",
                    artifact.step,
                )
            else:
                answers[artifact.step] = made
        return answers

    def take_wait(self) -> float:
        """Seconds that the concept waited for its admission; 0 for all steps but the first."""
        waited, self.waited = self.waited, 0.0
        return waited

    def current(self, step: str) -> str | None:
        """The version that a revision replaces, as JSON; ``None`` for a first version."""
        return self._replaced.get(step)

    def subject(self) -> Subject:
        """The concept and its surroundings, with the answers that exist so far."""
        run = self.run
        return Subject(
            roadmap_id=run.roadmap.roadmap_id,
            roadmap_title=run.roadmap.title,
            stage=self.stage.name,
            module=self.module.name,
            concept=self.concept,
            prerequisites=[run.names[needed] for needed in self.concept.prerequisites],
            language=run.parts.settings.provider.language,
            earlier=dict(self._earlier),
            context=run.context,
        )

    def _completed(self) -> ConceptState:
        return ConceptState(concept_id=self.concept.concept_id, status="completed")
