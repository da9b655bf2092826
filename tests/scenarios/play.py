"""Play a scenario in virtual time: workers as strategies over one ledger."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from paceline.calls.llm_call import Caller, CallFailed
from paceline.calls.provider_health import ProviderHealth
from paceline.calls.task_state import TaskState
from paceline.contracts.admission.ledger import (
    Grant,
    Lease,
    LeaseRelease,
    LeaseRequest,
    Quota,
    SharedCounters,
)
from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.admission.work import Done, Failed, Outcome, Permit, Work
from paceline.contracts.provider import Completion, CompletionRequest, Message
from paceline.contracts.steps.step import Step
from paceline.contracts.telemetry import Gauges
from paceline.errors import PartUnavailable
from paceline.generation.pipeline import WAITING_FOR_FIRST_CALL
from paceline.generation.strategy_stack import StrategyStack
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.steps.answers import parse_answer
from paceline.testing.lease_ledger import LeaseLedger, LedgerConnection
from paceline.testing.virtual_time import run_virtual
from pydantic import BaseModel

from tests.scenarios.scenario import Event, Load, Scenario

#: A prompt of 750 estimated tokens, and the longest answer.
_PROMPT, _LONGEST = "word" * 750, 250


def _read(step: Step, completion: Completion) -> BaseModel:
    return parse_answer(step.answer, completion.text)


@dataclass(slots=True)
class Seen:
    """What happened, all times in virtual seconds.

    Attributes:
        answered: when calls were answered, and whose.
        admitted: when the provider let calls in, and how many were in flight then.
        refused: when it refused.
        finished: when each run was.
        explained: what the first worker's strategy said in the end.
        failed: why calls failed for good.
    """

    answered: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    admitted: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    refused: list[float] = field(default_factory=list[float])
    finished: dict[str, float] = field(default_factory=dict[str, float])
    explained: str = ""
    failed: list[str] = field(default_factory=list[str])


class JumpingLedger(LeaseLedger):
    """A ledger whose clock can be set."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class Connection(LedgerConnection):
    """A worker's connection to the ledger, which is down at times."""

    away = False

    async def wait_for_grants(
        self, limit: str, *, holder: str, seconds: float
    ) -> tuple[Lease, ...]:
        if self.away:  # no notification arrives, which is no error
            await asyncio.sleep(seconds)
            return ()
        return await super().wait_for_grants(limit, holder=holder, seconds=seconds)

    async def sync(
        self,
        limit: str,
        *,
        quota: Quota,
        holder: str,
        requests: Sequence[LeaseRequest] = (),
        releases: Sequence[LeaseRelease] = (),
    ) -> Grant:
        await self._reach()
        return await super().sync(
            limit, quota=quota, holder=holder, requests=requests, releases=releases
        )

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        await self._reach()
        return await super().renew(limit, holder=holder, leases=leases)

    async def add_counts(self, limit: str, counts: Mapping[str, float]) -> SharedCounters:
        await self._reach()
        return await super().add_counts(limit, counts)

    async def _reach(self) -> None:
        if self.away:
            await asyncio.sleep(0.01)
            raise PartUnavailable("the ledger is away")


@dataclass(slots=True)
class SimulatedWorker:
    """One worker process."""

    connection: Connection
    stack: StrategyStack
    tasks: set["asyncio.Task[None]"] = field(default_factory=set["asyncio.Task[None]"])

    def begin(self, task: "asyncio.Task[None]") -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def die(self) -> None:
        self.connection.cut()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class Play:
    """One scenario while it is played."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.seen = Seen()
        self.ledger = JumpingLedger(lease_seconds=scenario.lease)
        self.settings = Settings()
        self.plugins = Plugins()
        self.chance = random.Random(seed)
        keys = dict.fromkeys(load.key for load in scenario.load)
        self.providers = {
            key: scenario.provider.model(key=key, seed=seed + number)
            for number, key in enumerate(keys)
        }
        self.steps: Mapping[str, Step] = {
            name: self.plugins.step(name).make({}, self._context(""), "steps")
            for name in scenario.provider.latency
        }
        self.workers = deque(self._worker(number) for number in range(scenario.workers))

    async def play(self) -> Seen:
        """Play it to its end."""
        scenario, first = self.scenario, self.workers[0]
        others = [asyncio.create_task(self._load(load)) for load in scenario.load]
        others += [asyncio.create_task(self._happens(event)) for event in scenario.event]
        await asyncio.sleep(scenario.seconds)
        self.seen.explained = first.stack.explain()
        for provider in self.providers.values():
            self.seen.admitted += provider.admitted
            self.seen.refused += provider.refused
        for task in others:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for worker in self.workers:
            for task in list(worker.tasks):
                task.cancel()
            await worker.stack.close()
        return self.seen

    def _context(self, worker: str, connection: Connection | None = None) -> Context:
        ledger = connection or Connection(self.ledger)
        return Context(settings=self.settings, worker_id=worker, ledger=lambda: ledger)

    def _worker(self, number: int) -> SimulatedWorker:
        connection = Connection(self.ledger)
        context = self._context(f"w{number}", connection)
        named: list[tuple[str, Strategy]] = [
            (
                name,
                self.plugins.strategy(name).make(
                    self.scenario.options.get(name, {}), context, f"strategies.{name}"
                ),
            )
            for name in self.scenario.strategy
        ]
        return SimulatedWorker(connection, StrategyStack(named))

    async def _load(self, load: Load) -> None:
        await asyncio.sleep(load.at)
        for number in range(load.runs):
            worker = self.workers[0]
            self.workers.rotate(-1)
            run = self._run(worker, load, f"{load.name}-{number}")
            worker.begin(asyncio.create_task(run))
            await asyncio.sleep(load.every)

    async def _run(self, worker: SimulatedWorker, load: Load, run_id: str) -> None:
        governed = "concept" in worker.stack.levels
        queue = None if governed else asyncio.Semaphore(WAITING_FOR_FIRST_CALL)
        concepts: set[asyncio.Task[None]] = set()
        for number in range(load.concepts):
            work = Work(
                level="concept",
                run_id=run_id,
                roadmap_id=run_id,
                concept_id=f"c{number}",
                key=load.key,
                tenant=load.tenant,
            )
            if queue is not None:
                await queue.acquire()
            permit = await worker.stack.admit(work)
            task = asyncio.create_task(self._concept(worker, load, work, queue, permit))
            worker.begin(task)
            concepts.add(task)
            task.add_done_callback(concepts.discard)
        await asyncio.gather(*concepts)
        self.seen.finished[run_id] = asyncio.get_running_loop().time()

    async def _concept(
        self,
        worker: SimulatedWorker,
        load: Load,
        concept: Work,
        queue: asyncio.Semaphore | None,
        permit: Permit,
    ) -> None:
        loop = asyncio.get_running_loop()
        outcome: Outcome = Failed()
        caller = Caller(
            self.providers[load.key],
            worker.stack,
            self.settings.provider,
            TaskState(Gauges(), queue),
            ProviderHealth(self.settings.provider),
            self.chance,
        )
        try:
            for name, step in self.steps.items():
                work = Work(
                    level="call",
                    run_id=concept.run_id,
                    roadmap_id=concept.roadmap_id,
                    concept_id=concept.concept_id,
                    key=load.key,
                    step=name,
                    tenant=load.tenant,
                )
                messages = (Message("user", _PROMPT),)
                request = CompletionRequest(messages=messages, step=name, max_tokens=_LONGEST)
                await caller.ask(work, request, partial(_read, step))
                self.seen.answered.append((loop.time(), load.name))
            outcome = Done()
        except CallFailed as error:
            self.seen.failed.append(str(error))
        finally:
            permit.release(outcome)

    async def _happens(self, event: Event) -> None:
        await asyncio.sleep(event.at)
        match event.what:
            case "worker dies":
                await self.workers.pop().die()
            case "worker freezes":
                raise ValueError("there are no processes in virtual time")
            case "clock jumps":
                self.ledger.ahead += event.seconds
            case "ledger away":
                lines = [worker.connection for worker in self.workers]
                for connection in lines:
                    connection.away = True
                await asyncio.sleep(event.seconds)
                for connection in lines:
                    connection.away = False


def play(scenario: Scenario, *, seed: int = 1) -> Seen:
    """Play a scenario in virtual time; the same seed gives the same figures."""
    chance = random.getstate()
    random.seed(seed)  # the jitter of pauses
    try:
        return run_virtual(_play(scenario, seed))
    finally:
        random.setstate(chance)


async def _play(scenario: Scenario, seed: int) -> Seen:
    return await Play(scenario, seed).play()
