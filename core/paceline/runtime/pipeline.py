"""A run's concepts: each is admitted, then generated in a task of its own."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from paceline.contracts.records import Claim
from paceline.contracts.work import Done, Failed, Outcome, Permit
from paceline.errors import first_cause
from paceline.roadmaps.model import Roadmap
from paceline.runtime.concept_task import ConceptTask, RunInWork
from paceline.runtime.gc_frozen import gc_frozen
from paceline.runtime.llm_call import Tally
from paceline.runtime.parts import Parts
from paceline.runtime.progress import Progress
from paceline.runtime.task_state import TaskState

#: Maximum number of concepts of a run that wait for their first call. Concepts that have
#: started go first.
WAITING_FOR_FIRST_CALL = 32


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
        drained: whether no further call may start.
    """

    parts: Parts
    claim: Claim
    roadmap: Roadmap
    existing: Mapping[str, frozenset[str]]
    finished: frozenset[str]
    progress: Progress
    drained: bool = False
    _run: RunInWork = field(init=False)
    _spawner: asyncio.Task[None] | None = None
    _tasks: dict[asyncio.Task[None], TaskState] = field(
        default_factory=dict[asyncio.Task[None], TaskState]
    )

    def __post_init__(self) -> None:
        self._run = RunInWork(self.parts, self.claim, self.roadmap, self.progress, drain=self.drain)

    @property
    def unsaved(self) -> Tally:
        """What calls cost that left neither an artifact nor a failed concept."""
        return self._run.unsaved

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
                    self._spawner = tasks.create_task(self._spawn(tasks))
        except BaseExceptionGroup as group:
            raise first_cause(group) from None
        await self._run.record_undecided()
        if self._run.unusable is not None:
            raise self._run.unusable

    def drain(self) -> None:
        """Start no further call; calls in flight end, and their answers are saved."""
        self.drained = True
        if self._spawner is not None:
            self._spawner.cancel()
        for task, state in self._tasks.items():
            state.drained = True
            if state.resting:
                task.cancel()

    async def _spawn(self, tasks: asyncio.TaskGroup) -> None:
        parts = self.parts
        # Without a concept-level strategy, every concept would start and wait for a call.
        queue = (
            None
            if "concept" in parts.strategy.levels
            else asyncio.Semaphore(WAITING_FOR_FIRST_CALL)
        )
        clock = asyncio.get_running_loop()
        for stage, module, concept in self.roadmap.concepts():
            if concept.concept_id in self.finished:
                continue
            await self._run.backlog.wait_for_room()
            if queue is not None:
                await queue.acquire()
            state = TaskState(parts.gauges, queue, telemetry=parts.telemetry)
            existing = self.existing.get(concept.concept_id, frozenset())
            concept_task = ConceptTask(self._run, state, stage, module, concept, existing)
            work = concept_task.work("concept")
            with parts.telemetry.admit(work), parts.gauges.wait():
                permit = await parts.strategy.admit(work)
            parts.gauges.concepts += 1
            task = tasks.create_task(concept_task.generate())
            self._tasks[task] = state
            # Not a `finally` in the task: a task that is cancelled before its first step runs
            # none of its body.
            task.add_done_callback(partial(self._ended, permit=permit, started=clock.time()))

    def _ended(self, task: asyncio.Task[None], *, permit: Permit, started: float) -> None:
        self._tasks.pop(task).leave_queue()
        self.parts.gauges.concepts -= 1
        outcome: Outcome = Failed()
        if not task.cancelled() and task.exception() is None:
            outcome = Done(seconds=asyncio.get_running_loop().time() - started)
        permit.release(outcome)
