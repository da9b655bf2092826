"""What runs cost: every billed token is counted, whatever became of its answer."""

import asyncio

import pytest
from paceline import (
    App,
    Client,
    Message,
    NoOptions,
    Register,
    Step,
    StepContext,
    StepSettings,
    Subject,
    hookimpl,
)
from paceline.contracts.provider import CompletionRequest
from paceline.contracts.storage.records import Claim, ConceptState
from paceline.contracts.storage.spending import Charge, Spent
from paceline.errors import PartUnavailable, ProviderUnusable, RequestTooLong, UnusableAnswer
from paceline.settings.model import ProviderSettings, RunSettings, Settings
from paceline.steps.tutorial import TutorialAnswer
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore
from pydantic import BaseModel

from tests.support.memory_worker import a_roadmap, rig

ONE_STEP = Settings(
    strategy=["unbounded"],
    run=RunSettings(steps=["tutorial"]),
    provider=ProviderSettings(prompt_price=1.0, completion_price=2.0),
)
#: Tokens of each answer of the scripted provider.
PROMPT, ANSWER = 100, 50


def endless(request: CompletionRequest, _ordinal: int) -> Reply:
    return 1000.0, plain_answer(request.step)


def unusable() -> UnusableAnswer:
    error = UnusableAnswer("empty", "")
    return error.charge(PROMPT, 7, estimated=False)


@virtual_time
async def test_a_failed_concept_and_a_repair_are_paid_and_shown() -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        # One concept fails twice; another one is repaired.
        wrong = any("Concept 0\n" in one.content for one in request.messages) or ordinal == 2
        return 1.0, ("no JSON" if wrong else plain_answer(request.step))

    async with rig(ScriptedProvider(script), settings=ONE_STEP) as it:
        run = await it.generate(a_roadmap(4))
        assert run.failed >= 1
        spending = await it.store.spending(run.run_id)
        calls = len(it.provider.requests)
        total = spending.total
        assert (total.attempts, total.prompt_tokens) == (calls, calls * PROMPT)
        assert (total.completion_tokens, total.estimated) == (calls * ANSWER, False)
        assert total.cost == pytest.approx(calls * (PROMPT + 2 * ANSWER) / 1e6)
        states = await it.store.concepts(run.run_id)
        assert sum(state.attempts for state in states) == calls


@virtual_time
async def test_an_unusable_answer_is_recorded_before_it_is_asked_for_again() -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        return (1.0, unusable()) if ordinal == 1 else (1000.0, plain_answer(request.step))

    async with rig(ScriptedProvider(script), settings=ONE_STEP) as it:
        run, _ = await it.client.submit(a_roadmap(1))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(100)  # a crash now would lose only the call in flight
        spent = (await it.store.spending(run.run_id)).unsaved
        assert (spent.attempts, spent.tokens) == (1, PROMPT + 7)
        await working
        spending = await it.store.spending(run.run_id)
        assert spending.unsaved == Spent()
        assert spending.saved.attempts == 2


@virtual_time
async def test_an_attempt_that_was_not_sent_does_not_count() -> None:
    too_long = RequestTooLong("the prompt does not fit")
    too_long.sent = False

    async with rig(ScriptedProvider(lambda _, __: (0.0, too_long)), settings=ONE_STEP) as it:
        run = await it.generate(a_roadmap(1))
        assert run.failed == 1
        assert (await it.store.spending(run.run_id)).total == Spent()


class Twice(Step):
    """Asks, and then asks again or waits for something else."""

    answer = TutorialAnswer
    needs = ()

    def __init__(self, *, journal: bool) -> None:
        self._journal = journal

    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        messages = [Message("user", subject.concept.name)]
        if self._journal:
            await ctx.once(
                "first", lambda: ctx.ask(messages, answer=TutorialAnswer), model=TutorialAnswer
            )
            await asyncio.sleep(200)
        else:
            await ctx.ask(messages)
        return await ctx.ask([*messages, Message("user", "Again.")])

    @hookimpl
    def paceline_register_steps(self, register: Register[Step]) -> None:
        register("tutorial", lambda _, __: self, options=NoOptions, summary="Two calls.")


@pytest.mark.parametrize("journal", [False, True])
@virtual_time
async def test_the_first_call_of_a_step_is_recorded_before_its_next_work(journal: bool) -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        return 1.0 if ordinal == 1 else 200.0, plain_answer("tutorial")

    use = {"tutorial": StepSettings(use="Twice:tutorial")}
    store = MemoryStore()
    await store.open()
    app = App(
        ONE_STEP.model_copy(update={"steps": use}),
        plugins=[Twice(journal=journal)],
        store=store,
        provider=ScriptedProvider(script),
    )
    async with app.worker() as worker:
        run, _ = await Client(worker.parts).submit(a_roadmap(1))
        working = asyncio.create_task(worker.run(run.run_id))
        await asyncio.sleep(100)  # a crash now would lose only the call in flight
        spent = (await store.spending(run.run_id)).unsaved
        assert (spent.attempts, spent.tokens) == (1, PROMPT + ANSWER)
        assert await working == "completed"
        spending = await store.spending(run.run_id)
        assert spending.unsaved == Spent()
        assert spending.saved.attempts == 2
    await store.close()


@virtual_time
async def test_cancelled_calls_are_counted_as_an_estimate() -> None:
    async with rig(ScriptedProvider(endless), settings=ONE_STEP) as it:
        run, _ = await it.client.submit(a_roadmap(3))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(10)
        await it.client.cancel(run.run_id)
        assert await working == "cancelled"
        spent = (await it.store.spending(run.run_id)).unsaved
        assert (spent.attempts, spent.estimated) == (3, True)
        assert spent.prompt_tokens > 0


@virtual_time
async def test_calls_before_the_end_of_a_run_that_its_provider_ends_are_counted() -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        if ordinal == 1:
            return 1.0, unusable()
        return (2.0, ProviderUnusable("no such model")) if ordinal == 2 else (5.0, unusable())

    async with rig(ScriptedProvider(script), settings=ONE_STEP) as it:
        run = await it.generate(a_roadmap(2))
        assert run.status == "failed"
        assert (await it.store.spending(run.run_id)).unsaved.tokens >= PROMPT + 7


class Unreachable(MemoryStore):
    """Refuses some writes until it is repaired."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused = set(refused)

    def _check(self, write: str) -> None:
        if write in self.refused:
            raise PartUnavailable("the store is unreachable")

    async def charge(self, claim: Claim, charge: Charge) -> None:
        self._check("charge")
        await super().charge(claim, charge)

    async def save_concept(
        self, claim: Claim, concept: ConceptState, *, charge: Charge | None = None
    ) -> None:
        self._check("save_concept")
        await super().save_concept(claim, concept, charge=charge)


@virtual_time
async def test_charges_that_the_store_refused_are_recorded_when_it_is_reachable_again() -> None:
    store = Unreachable("charge")
    async with rig(ScriptedProvider(endless), settings=ONE_STEP, store=store) as it:
        run, _ = await it.client.submit(a_roadmap(2))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(10)
        await it.client.cancel(run.run_id)
        await working
        assert (await store.spending(run.run_id)).unsaved == Spent()
        store.refused.clear()
        await asyncio.sleep(10)  # some beats
        assert (await store.spending(run.run_id)).unsaved.attempts == 2


@virtual_time
async def test_a_failed_concept_that_the_store_refused_is_paid_all_the_same() -> None:
    def script(_request: CompletionRequest, _ordinal: int) -> Reply:
        return 1.0, "no JSON"

    store = Unreachable("save_concept")
    settings = ONE_STEP.model_copy(update={"run": RunSettings(steps=["tutorial"], poison_after=1)})
    async with rig(ScriptedProvider(script), settings=settings, store=store) as it:
        run = await it.generate(a_roadmap(1))
        assert run.status == "failed"
        spent = (await store.spending(run.run_id)).unsaved
        assert (spent.attempts, spent.prompt_tokens) == (2, 2 * PROMPT)


@virtual_time
async def test_a_beat_reports_what_the_calls_in_flight_will_cost() -> None:
    async with rig(ScriptedProvider(endless), settings=ONE_STEP) as it:
        run, _ = await it.client.submit(a_roadmap(3))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(10)
        spent = it.worker.heartbeat.figures().in_flight[run.run_id]
        assert (spent.attempts, spent.estimated) == (3, True)
        assert spent.prompt_tokens > 0
        await it.client.cancel(run.run_id)
        await working
        assert it.worker.heartbeat.figures().in_flight == {}
