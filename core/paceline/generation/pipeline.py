"""A run's concepts: each is admitted, then generated in a task of its own."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from paceline.calls.deadline import Deadline
from paceline.calls.task_state import TaskState
from paceline.contracts.admission.work import Done, Failed, Outcome, Permit
from paceline.contracts.steps.step import Step
from paceline.contracts.storage.records import Claim
from paceline.contracts.storage.spending import Charge
from paceline.contracts.storage.versions import Revision
from paceline.errors import RunPaused, first_cause
from paceline.generation.concept_task import ConceptTask, RunInWork
from paceline.generation.gc_frozen import gc_frozen
from paceline.generation.parts import Parts
from paceline.generation.progress import Progress
from paceline.roadmaps.model import Concept, Module, Roadmap, Stage

#: Maximum number of concepts of a run that wait for their first call. Concepts that have
#: started go first.
WAITING_FOR_FIRST_CALL = 32
#: Maximum number of concepts of a run that wait for their own admission. A strategy may admit a
#: later concept before an earlier one.
WAITING_FOR_ADMISSION = 32
_NONE: Mapping[str, Revision] = {}


@dataclass(slots=True)
class Pipeline:
    """Generates what is missing in one run.

    Attributes:
        parts: the parts of the process.
        claim: the right to write the run.
        roadmap: the run's roadmap.
        existing: the steps with existing artifacts, by concept id.
        finished: ids of concepts that need no work in this claim.
        progress: counts finished concepts and publishes events.
        steps: the steps to make with their names; ``None`` for all steps of the settings.
        context: the run's context.
        deadline: the run's deadline; its clock runs while a concept works.
        revisions: requests for new versions, by concept id and step.
        drained: whether no further call may start.
    """

    parts: Parts
    claim: Claim
    roadmap: Roadmap
    existing: Mapping[str, frozenset[str]]
    finished: frozenset[str]
    progress: Progress
    steps: Sequence[tuple[str, Step]] | None = None
    context: Mapping[str, object] = field(default_factory=dict[str, object])
    deadline: Deadline = field(default_factory=Deadline)
    revisions: Mapping[str, Mapping[str, Revision]] = field(
        default_factory=dict[str, Mapping[str, Revision]]
    )
    drained: bool = False
    _run: RunInWork = field(init=False)
    _spawners: Sequence[asyncio.Task[None]] = ()
    _tasks: dict[asyncio.Task[None], TaskState] = field(
        default_factory=dict[asyncio.Task[None], TaskState]
    )

    def __post_init__(self) -> None:
        self._run = RunInWork(
            self.parts,
            self.claim,
            self.roadmap,
            self.progress,
            steps=self.parts.steps if self.steps is None else self.steps,
            drain=self.drain,
            context=self.context,
        )

    @property
    def unsaved(self) -> Sequence[Charge]:
        """What calls cost that left neither an artifact nor a failed concept."""
        return self._run.unsaved

    @property
    def advice(self) -> str | None:
        """What to change if none of a model's answers could be used."""
        return self._run.advice

    @property
    def paused(self) -> RunPaused | None:
        """Why the strategy paused the run; ``None`` if it did not."""
        return self._run.paused

    @property
    def saved(self) -> int:
        """Number of artifacts saved since this pipeline started."""
        return self._run.saved

    async def generate(self) -> None:
        """Generate every open concept; return when all are finished or the run is drained.

        If a concept fails, the failure is recorded and the other concepts continue.

        Raises:
            StaleFence: another worker owns the run.
            ProviderUnusable: no further call can succeed; what was in flight is saved.
            PartUnavailable: the store stayed unreachable for too long.
        """
        if self.drained:
            return  # drained before it started
        try:
            with gc_frozen(self.progress.total):
                async with asyncio.TaskGroup() as tasks:
                    self._start_spawners(tasks)
        except BaseExceptionGroup as group:
            raise first_cause(group) from None
        with self.deadline.working():
            await self._run.record_undecided()
        if self._run.unusable is not None:
            raise self._run.unusable

    def drain(self) -> None:
        """Start no further call; calls in flight end, and their answers are saved."""
        self.drained = True
        for spawner in self._spawners:
            spawner.cancel()
        for state in self._tasks.values():
            state.drain()

    def pause(self, error: RunPaused) -> None:
        """Start no further call, and pause the run for this reason."""
        self._run.pause(error)

    def _start_spawners(self, tasks: asyncio.TaskGroup) -> None:
        """Start the tasks that request admission, each for one concept at a time.

        The first one starts every concept itself if the strategy admits at once. So looking ahead
        costs no task per concept.
        """
        ahead, queue = WAITING_FOR_ADMISSION, None
        if "concept" not in self.parts.strategy.levels:
            # Every concept would start at once and wait for a call.
            ahead, queue = 1, asyncio.Semaphore(WAITING_FOR_FIRST_CALL)
        concepts = self.roadmap.concepts()
        unfinished = (found for found in concepts if found[2].concept_id not in self.finished)
        number = max(1, min(ahead, self.progress.total))
        self._spawners = [
            tasks.create_task(self._spawn(tasks, unfinished, queue)) for _ in range(number)
        ]

    async def _spawn(
        self,
        tasks: asyncio.TaskGroup,
        concepts: Iterator[tuple[Stage, Module, Concept]],
        queue: asyncio.Semaphore | None,
    ) -> None:
        """Request admission for the next concept and start it, until there are no more."""
        parts = self.parts
        while True:
            await self._run.backlog.wait_for_room()
            if queue is not None:
                await queue.acquire()
            # No `await` until `admit`, so that concepts ask in the order of the roadmap.
            found = next(concepts, None)
            if found is None:
                return
            stage, module, concept = found
            state = TaskState(
                parts.gauges,
                queue,
                telemetry=parts.telemetry,
                deadline=self.deadline,
                notify=self.progress.notice,
            )
            existing = self.existing.get(concept.concept_id, frozenset())
            revised = self.revisions.get(concept.concept_id, _NONE)
            concept_task = ConceptTask(
                self._run, state, stage, module, concept, existing.difference(revised), revised
            )
            work = concept_task.work()
            asked_at = asyncio.get_running_loop().time()
            try:
                with parts.telemetry.admit(work), parts.gauges.wait("concept"):
                    permit = await parts.strategy.admit(work)
            except RunPaused as error:
                self._run.pause(error)
                return
            concept_task.waited = asyncio.get_running_loop().time() - asked_at
            if permit.notice is not None:
                self.progress.notice(permit.notice)
            self._start(tasks, concept_task, permit)

    def _start(self, tasks: asyncio.TaskGroup, concept_task: ConceptTask, permit: Permit) -> None:
        """Start the task of an admitted concept; its end releases the permit."""
        generating = concept_task.generate()
        try:
            task = tasks.create_task(generating)
        except RuntimeError:  # the run has failed, and the strategy ignored the cancellation
            generating.close()
            permit.release(Failed())
            raise
        self.parts.gauges.concepts += 1
        self._tasks[task] = concept_task.state
        concept_task.state.rest(task)
        if self.drained:
            concept_task.state.drain()
        started = asyncio.get_running_loop().time()
        # Not a `finally` in the task: a task that is cancelled before its first step runs
        # none of its body.
        task.add_done_callback(partial(self._ended, permit=permit, started=started))

    def _ended(self, task: asyncio.Task[None], *, permit: Permit, started: float) -> None:
        self._tasks.pop(task).leave_queue()
        self.parts.gauges.concepts -= 1
        outcome: Outcome = Failed()
        if not task.cancelled() and task.exception() is None:
            outcome = Done(seconds=asyncio.get_running_loop().time() - started)
        permit.release(outcome)
