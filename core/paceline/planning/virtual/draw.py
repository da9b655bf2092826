"""One draw of a forecast: the run of all roadmaps, in virtual time.

Strategies, the shared ledger, calls with their retries, and the order of admission are the real
ones. Provider, store and machine are models.
"""

import asyncio
import logging
import math
import random
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from paceline.admission.in_process import InProcessLedger
from paceline.calls.llm_call import Caller, CallFailed
from paceline.calls.provider_health import ProviderHealth
from paceline.calls.tally import Tally
from paceline.calls.task_state import TaskState
from paceline.contracts.admission.work import Done, Failed, Permit, RateLimited, Work
from paceline.contracts.provider import Completion, CompletionRequest, Provider
from paceline.contracts.telemetry import Gauges
from paceline.errors import (
    PacelineError,
    PluginError,
    ProviderUnusable,
    Refused,
    Transient,
    UnusableAnswer,
    first_cause,
)
from paceline.generation.pipeline import WAITING_FOR_ADMISSION, WAITING_FOR_FIRST_CALL
from paceline.planning.virtual.model_server import ModelServer, headers_of
from paceline.planning.virtual.store_model import CLIENT_CONNECTIONS, StoreModel
from paceline.planning.virtual.strategies import names as strategy_names
from paceline.planning.virtual.strategies import played
from paceline.planning.virtual.virtual_loop import JumpingLoop, VirtualTimeError
from paceline.planning.virtual.world import (
    COMMIT,
    CPU,
    NEIGHBOURS,
    OVERHEAD,
    PICKUP,
    PlannedStep,
    World,
)
from paceline.roadmaps.model import Concept, Module, Roadmap, Stage

#: Virtual seconds after which a draw is given up: 60 days.
_LONGEST = 60 * 24 * 3600.0


@dataclass(slots=True)
class Drawn:
    """The figures of one draw.

    Attributes:
        ends: when each roadmap ended, in seconds, in their order.
        cost: cost of all attempts; ``None`` if a price is unknown.
        calls: attempts that the provider accepted.
        refusals: attempts that it refused.
        calls_peak: most calls in flight at once.
        failed: concepts that failed.
        connections_peak: most connections to the database server.
        transactions: transactions of the database server.
        events: when each progress event was published.
        saves: when each artifact was saved.
    """

    ends: list[float] = field(default_factory=list[float])
    cost: float | None = 0.0
    calls: int = 0
    refusals: int = 0
    calls_peak: int = 0
    failed: int = 0
    connections_peak: int = 0
    transactions: int = 0
    events: list[float] = field(default_factory=list[float])
    saves: list[float] = field(default_factory=list[float])

    @property
    def makespan(self) -> float:
        """Seconds until the last roadmap ended."""
        return max(self.ends, default=0.0)

    @property
    def events_peak(self) -> int:
        """Most events within one second."""
        times = sorted(self.events)
        most = first = 0
        for last, at in enumerate(times):
            while times[first] <= at - 1.0:
                first += 1
            most = max(most, last - first + 1)
        return most


class DrawnProvider(Provider):
    """One model of the settings, served by the model of its provider."""

    def __init__(self, server: ModelServer, key: str, world: World, level: float, seed: str):
        self.key = key
        self.server = server
        self._inputs = world.inputs
        self._level = level
        self._random = random.Random(seed)  # noqa: S311

    async def complete(self, request: CompletionRequest) -> Completion:
        """Answer, refuse or fail as the provider does."""
        model, chance = self._inputs.provider, self._random
        if model.transient and chance.random() < model.transient:
            await asyncio.sleep(self.server.round_trip)
            raise Transient("the provider had an error")
        charged = round(model.charged * request.estimated_tokens())
        outcome = await self.server.call(charged, request.step)
        headers = headers_of(outcome.rate_limit_info)
        if isinstance(outcome, RateLimited):
            raise Refused("too many calls", outcome.retry_after, headers)
        prompt, answer = request.estimated_prompt_tokens(), self._answer(request.step)
        if model.unusable and chance.random() < model.unusable:
            error = UnusableAnswer("malformed", "it does not match")
            raise error.charge(prompt, answer, estimated=False)
        return Completion(
            text="",
            model=self.key,
            prompt_tokens=prompt,
            completion_tokens=answer,
            rate_limit_headers=headers,
        )

    def _answer(self, step: str) -> int:
        recorded = self._inputs.answers.get(step)
        if recorded:
            return round(self._random.choice(recorded) * self._level)
        return round(self._random.uniform(*self._inputs.answers_of(step)) * self._level)


class SharedLedger(InProcessLedger):
    """The ledger of all modelled workers."""

    def __init__(self, *, shared: bool) -> None:
        super().__init__(lease_seconds=math.inf, expires=False)
        self.shared = shared


def draw(world: World, seed: int, stopped: Callable[[], bool] = lambda: False) -> Drawn:
    """Play the run once; the same seed gives the same figures.

    Raises:
        PluginError: a strategy does not work in virtual time, for example because it uses a
            thread or a socket, or because it never admits.
        asyncio.CancelledError: ``stopped`` returned true.
    """
    loop = _Loop(seed, stopped)
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner, _silent():
            found = runner.run(_Play(world, seed).run())
        if loop.left is not None:
            raise loop.left
    except* VirtualTimeError as group:
        names = ", ".join(strategy_names(world.factory))
        why = str(first_cause(group)).partition(";")[0]
        raise PluginError(f"strategy {names} cannot be forecast: {why}") from None
    except* PacelineError as group:
        raise first_cause(group) from None
    return found


class _Loop(JumpingLoop):
    def __init__(self, seed: int, stopped: Callable[[], bool]) -> None:
        #: For ``paceline.admission.chance``: the jitter of strategies and limiters.
        self.chance = random.Random(seed)  # noqa: S311
        self._stopped_by_caller = stopped
        super().__init__(limit=_LONGEST)

    def before_jump(self, to: float | None) -> None:
        """Give up if the caller did."""
        if self._stopped_by_caller():
            raise asyncio.CancelledError
        super().before_jump(to)


@contextmanager
def _silent() -> Generator[None]:
    """Drop what this thread logs: the outages of a forecast are not real."""
    thread = threading.get_ident()

    def of_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logs = [logging.getLogger(f"paceline.{name}") for name in ("provider", "limits")]
    for log in logs:
        log.addFilter(of_others)
    try:
        yield
    finally:
        for log in logs:
            log.removeFilter(of_others)


class _Play:
    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.found = Drawn(ends=[0.0] * len(world.roadmaps))
        chance = self.chance = random.Random(seed)  # noqa: S311
        inputs = world.inputs
        level = math.exp(chance.gauss(0.0, inputs.latency_level))
        tokens = math.exp(chance.gauss(0.0, inputs.token_level))
        self.cpu, self.commit = chance.uniform(*CPU), chance.uniform(*COMMIT)
        overhead = chance.uniform(*OVERHEAD)
        ranges = {
            step.name: tuple(level * bound + overhead for bound in inputs.latency_of(step.name))
            for step in world.steps
        }
        samples = {
            name: [level * second for second in found] for name, found in inputs.seconds.items()
        }
        neighbours = math.exp(chance.gauss(0.0, NEIGHBOURS))
        keys = dict.fromkeys(step.key for step in world.steps)
        self.providers: Mapping[str, DrawnProvider] = {}
        for number, key in enumerate(keys):
            arguments = inputs.provider.arguments()
            others = [
                replace(one, requests=one.requests * neighbours) for one in arguments["others"]
            ]
            arguments |= {"ranges": ranges, "samples": samples, "others": others}
            server = ModelServer(**arguments, seed=chance.randrange(2**31))
            self.providers[key] = DrawnProvider(server, key, world, tokens, f"{seed}/{number}")
        self.queue = deque(enumerate(world.roadmaps))

    async def run(self) -> Drawn:
        world, found = self.world, self.found
        ledger = SharedLedger(shared=world.distributed)
        processes = [
            _Process(self, number, ledger) for number in range(min(world.processes, 10_000))
        ]
        async with asyncio.TaskGroup() as tasks:
            for _ in range(world.concurrency):
                for process in processes:
                    tasks.create_task(process.work())
        for process in processes:
            await process.strategy.close()
        found.calls = sum(len(one.server.admitted) for one in self.providers.values())
        found.refusals = sum(len(one.server.refused) for one in self.providers.values())
        found.calls_peak = _peak_of(self.providers)
        stores = [process.store for process in processes]
        found.transactions = sum(one.transactions(found.makespan) for one in stores)
        found.connections_peak = sum(one.connections_peak for one in stores)
        if world.distributed:
            found.connections_peak += CLIENT_CONNECTIONS
        return found


def _peak_of(providers: Mapping[str, DrawnProvider]) -> int:
    """Most calls in flight at once, of all models together."""
    if len(providers) == 1:
        return next(iter(providers.values())).server.peak
    changes = sorted(
        [(at, 1) for one in providers.values() for at, _ in one.server.admitted]
        + [(at, -1) for one in providers.values() for at in one.server.answered]
    )
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


class _Process:
    """One worker process: its strategies, its CPU, its store."""

    def __init__(self, play: _Play, number: int, ledger: InProcessLedger) -> None:
        self.play = play
        factory = play.world.factory
        context = factory.context(worker_id=f"worker-{number}", ledger=lambda: ledger)
        self.strategy = played(factory, context)
        self.gauges = Gauges()
        self.store = StoreModel(play.world.connections, play.commit)
        self._busy_until = 0.0

    async def work(self) -> None:
        """Work on queued roadmaps until none is left."""
        play = self.play
        while play.queue:
            number, roadmap = play.queue.popleft()
            if play.world.distributed:
                await asyncio.sleep(play.chance.uniform(*PICKUP))
            await self.store.load()
            await _Run(self, number, roadmap).generate()
            await self.store.write(asyncio.get_running_loop().time())
            now = asyncio.get_running_loop().time()
            play.found.events.append(now)
            play.found.ends[number] = now

    def compute(self) -> float:
        """Use the process's CPU for one call, after the calls before it; returns until when."""
        now = asyncio.get_running_loop().time()
        self._busy_until = max(now, self._busy_until) + self.play.cpu
        return self._busy_until


class _Run:
    """One roadmap in work, as ``generation.pipeline`` works on it."""

    def __init__(self, process: _Process, number: int, roadmap: Roadmap) -> None:
        self.process = process
        self.roadmap = roadmap
        self.run_id = f"run-{number}"
        self.healths: dict[str, ProviderHealth] = {}
        self.ended = False
        steps = process.play.world.steps
        names = [step.name for step in steps]
        self.serial = all(
            before in step.needs for before, step in zip(names, steps[1:], strict=False)
        )

    async def generate(self) -> None:
        ahead, queue = WAITING_FOR_ADMISSION, None
        if "concept" not in self.process.strategy.levels:
            ahead, queue = 1, asyncio.Semaphore(WAITING_FOR_FIRST_CALL)
        self.event()
        concepts = iter(self.roadmap.concepts())
        ahead = max(1, min(ahead, self.roadmap.concept_count()))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(ahead):
                tasks.create_task(self._spawn(tasks, concepts, queue))

    def event(self) -> None:
        """Publish a progress event."""
        self.process.play.found.events.append(asyncio.get_running_loop().time())

    async def _spawn(
        self,
        tasks: asyncio.TaskGroup,
        concepts: Iterator[tuple[Stage, Module, Concept]],
        queue: asyncio.Semaphore | None,
    ) -> None:
        while not self.ended:
            if queue is not None:
                await queue.acquire()
            found = next(concepts, None)
            if found is None:
                return
            stage, module, concept = found
            work = Work(
                level="concept",
                run_id=self.run_id,
                roadmap_id=self.roadmap.roadmap_id,
                concept_id=concept.concept_id,
                key=self.process.play.world.steps[0].key,
                stage_id=stage.stage_id,
                module_id=module.module_id,
            )
            permit = await self.process.strategy.admit(work)
            state = TaskState(self.process.gauges, queue)
            tasks.create_task(self._generate(work, state, permit))

    async def _generate(self, work: Work, state: TaskState, permit: Permit) -> None:
        started = asyncio.get_running_loop().time()
        outcome: Done | Failed = Failed()
        try:
            self.event()
            steps = self.process.play.world.steps
            made = await (self._in_order if self.serial else self._by_needs)(steps, work, state)
            if made:
                outcome = Done(seconds=asyncio.get_running_loop().time() - started)
            else:
                self.process.play.found.failed += 1
                self.event()
        finally:
            state.leave_queue()
            permit.release(outcome)

    async def _in_order(self, steps: Sequence[PlannedStep], work: Work, state: TaskState) -> bool:
        for step in steps:
            if not await self._make(step, work, state):
                return False
        return True

    async def _by_needs(self, steps: Sequence[PlannedStep], work: Work, state: TaskState) -> bool:
        """Make each step as soon as the steps that it needs are made."""
        left = {step.name: step for step in steps}
        made: set[str] = set()
        running: dict[asyncio.Task[bool], str] = {}
        while True:
            for name in [one for one, step in left.items() if step.needs <= made]:
                making = self._make(left.pop(name), work, state)
                running[asyncio.get_running_loop().create_task(making)] = name
            if not running:
                return not left and len(made) == len(steps)
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            made.update(running[task] for task in done if task.result())
            for task in done:
                del running[task]

    async def _make(self, step: PlannedStep, work: Work, state: TaskState) -> bool:
        """Make and save one artifact."""
        process, found = self.process, self.process.play.found
        tally, computed = Tally(), 0.0
        caller = Caller(
            process.play.providers[step.key],
            process.strategy,
            step.model,
            state,
            self._health(step),
            process.play.chance,
        )
        asking = replace(work, level="call", step=step.name, key=step.key)
        try:
            for _ in range(self._calls(step)):
                await caller.ask(asking, step.request, _usable, tally=tally)
                computed = process.compute()
        except CallFailed:
            return False
        except ProviderUnusable:
            self.ended = True
            return False
        finally:
            if tally.attempts and (tally.cost is None or found.cost is None):
                found.cost = None
            elif tally.cost is not None and found.cost is not None:
                found.cost += tally.cost
        await process.store.write(computed)
        found.saves.append(asyncio.get_running_loop().time())
        self.event()
        return True

    def _calls(self, step: PlannedStep) -> int:
        """Number of calls of an artifact, at random around the mean."""
        whole = math.floor(step.calls)
        return whole + (self.process.play.chance.random() < step.calls - whole)

    def _health(self, step: PlannedStep) -> ProviderHealth:
        if step.key not in self.healths:
            self.healths[step.key] = ProviderHealth(step.model)
        return self.healths[step.key]


def _usable(completion: Completion) -> Completion:
    return completion
