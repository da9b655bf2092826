"""Steps with several calls: admission, tools, resources, the journal, and their failures."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from paceline import (
    AccountExhausted,
    Completion,
    CompletionRequest,
    Message,
    PluginError,
    Refused,
    Step,
    StepContext,
    Strategy,
    Subject,
    Tool,
    ToolCall,
    Transient,
)
from paceline.contracts.admission.work import Outcome, Permit, Work
from paceline.settings.model import Settings
from paceline.testing.scripted import Reply, ScriptedProvider
from paceline.testing.virtual_time import virtual_time
from pydantic import BaseModel

from tests.support.memory_worker import a_roadmap, rig
from tests.support.step_plugins import OwnSteps

SEARCH = Tool(name="search", description="Search the web.", parameters={"type": "object"})


class Note(BaseModel):
    text: str


class NoteStep(Step):
    """A step with a ``make`` that each test replaces."""

    answer = Note
    max_tokens = 100


def only(step: str = "note", **more: object) -> Settings:
    return Settings.model_validate({"strategy": ["unbounded"], "run": {"steps": [step]}, **more})


def written(request: CompletionRequest, number: int) -> Reply:
    return 1.0, json.dumps({"text": f"answer {number}"})


class Counting(Strategy):
    """Admits everything and records what it admitted and what became of it."""

    def __init__(self) -> None:
        self.admitted: list[Work] = []
        self.out = 0
        self.peak = 0

    async def admit(self, work: Work) -> Permit:
        self.admitted.append(work)
        if work.level == "call":
            self.out += 1
            self.peak = max(self.peak, self.out)

        def release(_outcome: Outcome) -> None:
            if work.level == "call":
                self.out -= 1

        return Permit(release)


@virtual_time
async def test_each_call_of_a_step_is_admitted_counted_and_paid_on_its_own() -> None:
    class Twice(NoteStep):
        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            message = Message("user", subject.concept.name)
            first, second = await asyncio.gather(ctx.ask([message]), ctx.ask([message]))
            return Note(text=f"{first} {second}")

    strategy = Counting()
    async with rig(
        ScriptedProvider(written),
        settings=only(),
        plugins=[OwnSteps({"note": Twice})],
        strategies=[("counting", strategy)],
    ) as it:
        run = await it.generate(a_roadmap(3))
        (artifact, *_) = await it.store.artifacts(run.run_id)
    calls = [work for work in strategy.admitted if work.level == "call"]
    assert (run.status, len(calls), strategy.peak, strategy.out) == ("completed", 6, 6, 0)
    assert {(work.step, work.attempt, work.key) for work in calls} == {
        ("note", 1, "scripted:model")
    }
    assert (artifact.attempts, artifact.prompt_tokens, artifact.seconds) == (2, 200, 1.0)


@virtual_time
async def test_a_model_may_call_tools_before_it_answers() -> None:
    def script(request: CompletionRequest, number: int) -> Reply:
        if number == 1:
            call = ToolCall(call_id="1", name="search", arguments='{"query": "lists"}')
            return 1.0, Completion(text="", model="model", tool_calls=(call,), prompt_tokens=10)
        return 1.0, f"final: {request.messages[-1].content}"

    class Searching(NoteStep):
        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            messages = [Message("user", subject.concept.name)]
            while True:
                said = await ctx.chat(messages, tools=[SEARCH])
                if not said.tool_calls:
                    return Note(text=said.content)
                messages += [said, *self.results(said.tool_calls)]

        def results(self, calls: Sequence[ToolCall]) -> list[Message]:
            return [
                Message("tool", f"found by {call.arguments}", tool_call_id=call.call_id)
                for call in calls
            ]

    provider = ScriptedProvider(script)
    async with rig(provider, settings=only(), plugins=[OwnSteps({"note": Searching})]) as it:
        run = await it.generate(a_roadmap(1))
        (artifact,) = await it.store.artifacts(run.run_id)
    assert json.loads(artifact.content) == {"text": 'final: found by {"query": "lists"}'}
    assert [len(request.messages) for request in provider.requests] == [1, 3]
    assert all(request.tools == (SEARCH,) for request in provider.requests)


@virtual_time
async def test_plain_text_is_parsed_by_the_step_and_repaired_with_its_complaint() -> None:
    def script(_request: CompletionRequest, number: int) -> Reply:
        return 1.0, "no number" if number == 1 else "42"

    class Number(NoteStep):
        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            number = await ctx.ask([Message("user", "?")], parse=int)
            return Note(text=str(number + 1))

    provider = ScriptedProvider(script)
    async with rig(provider, settings=only(), plugins=[OwnSteps({"note": Number})]) as it:
        run = await it.generate(a_roadmap(1))
        (artifact,) = await it.store.artifacts(run.run_id)
    assert (json.loads(artifact.content)["text"], artifact.attempts) == ("43", 2)
    assert "invalid literal" in provider.requests[1].messages[-1].content


@virtual_time
async def test_recorded_results_are_read_back_when_the_step_is_made_again() -> None:
    searched: list[str] = []

    class Searching(NoteStep):
        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            found = await ctx.once("search", self.search, model=list[str])
            if len(searched) < 2 and found == ["1"]:
                searched.append("failed")
                raise Transient("the search engine closed the connection")
            return Note(text=",".join(found))

        async def search(self) -> list[str]:
            searched.append("searched")
            return ["1"]

    async with rig(settings=only(), plugins=[OwnSteps({"note": Searching})]) as it:
        run = await it.generate(a_roadmap(1))
        (artifact,) = await it.store.artifacts(run.run_id)
        left = await it.store.journal(run.run_id, "c0")
    assert searched == ["searched", "failed"]
    assert json.loads(artifact.content) == {"text": "1"}
    assert left == [], "the journal is deleted with the artifact's commit"


@virtual_time
async def test_a_journal_is_kept_if_the_settings_say_so() -> None:
    class Recording(NoteStep):
        version = 3

        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            return Note(text=await ctx.once("word", self.word, model=str))

        async def word(self) -> str:
            return "kept"

    settings = only(run={"steps": ["note"], "keep_journal": True})
    async with rig(settings=settings, plugins=[OwnSteps({"note": Recording})]) as it:
        run = await it.generate(a_roadmap(1))
        (entry,) = await it.store.journal(run.run_id, "c0")
    assert (entry.step, entry.version, entry.name, entry.value) == ("note", 3, "word", '"kept"')


@virtual_time
async def test_a_result_that_is_no_json_fails_the_concept_with_the_name_of_the_result() -> None:
    class Wrong(NoteStep):
        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            return Note(text=str(await ctx.once("now", self.now)))

        async def now(self) -> object:
            return object()

    async with rig(settings=only(), plugins=[OwnSteps({"note": Wrong})]) as it:
        run = await it.generate(a_roadmap(1))
        (state,) = await it.store.concepts(run.run_id)
    assert run.status == "failed"
    assert "step note: ctx.once('now') must return JSON values" in str(state.reason)


@virtual_time
async def test_a_call_inside_a_resource_is_an_error_that_names_both() -> None:
    class Nested(NoteStep):
        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            async with ctx.use("search"):
                return await ctx.ask([Message("user", "?")])

    settings = only(resources={"search": {"concurrency": 1}})
    async with rig(settings=settings, plugins=[OwnSteps({"note": Nested})]) as it:
        run = await it.generate(a_roadmap(1))
        (state,) = await it.store.concepts(run.run_id)
    assert "step note: a call inside ctx.use('search')" in str(state.reason)


@virtual_time
async def test_a_resource_that_refuses_is_paused_and_the_step_is_made_again() -> None:
    times: list[float] = []

    class Searching(NoteStep):
        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            async with ctx.use("search") as use:
                assert use.key is None
                times.append(asyncio.get_running_loop().time())
                if len(times) == 1:
                    raise Refused("429", 30.0)
            return Note(text="found")

    settings = only(resources={"search": {"requests_per_minute": 100}})
    async with rig(settings=settings, plugins=[OwnSteps({"note": Searching})]) as it:
        run = await it.generate(a_roadmap(2))
    assert run.status == "completed"
    assert [when - times[0] >= 29 for when in times[2:]] == [True] * len(times[2:])


@virtual_time
async def test_an_exception_in_a_step_fails_its_concept_and_not_the_run() -> None:
    class Careless(NoteStep):
        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            if subject.concept.concept_id == "c1":
                raise KeyError("missing")
            return await ctx.ask([Message("user", subject.concept.name)])

    provider = ScriptedProvider(written)
    async with rig(provider, settings=only(), plugins=[OwnSteps({"note": Careless})]) as it:
        run = await it.generate(a_roadmap(4))
        failed = await it.store.concepts(run.run_id, status=("failed",))
    assert (run.status, run.completed) == ("partial", 3)
    assert [state.reason for state in failed] == ["step note: KeyError: 'missing'"]


@virtual_time
async def test_a_drained_run_saves_calls_in_flight_and_starts_no_other() -> None:
    class Long(NoteStep):
        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            message = [Message("user", subject.concept.name)]
            texts = [
                await ctx.once(f"part {n}", lambda: ctx.ask(message, answer=Note), model=Note)
                for n in range(3)
            ]
            return Note(text=" ".join(one.text for one in texts))

    provider = ScriptedProvider(written)
    async with rig(provider, settings=only(), plugins=[OwnSteps({"note": Long})]) as it:
        run, _ = await it.client.submit(a_roadmap(1))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(1.5)
        await it.worker.drain(10)
        await working
        recorded = await it.store.journal(run.run_id, "c0")
        now = await it.store.run(run.run_id)
    assert [entry.name for entry in recorded] == ["part 0", "part 1"]
    assert (len(provider.requests), now.status) == (2, "queued")


@virtual_time
async def test_a_note_is_an_event_that_changes_no_count() -> None:
    class Telling(NoteStep):
        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            ctx.tell("searching\nfor  pages" + "x" * 1000)
            return await ctx.ask([Message("user", subject.concept.name)])

    provider = ScriptedProvider(written)
    async with rig(provider, settings=only(), plugins=[OwnSteps({"note": Telling})]) as it:
        run = await it.generate(a_roadmap(1))
        events = await it.events(run.run_id)
    (note,) = [event for event in events if event.type == "content_generation_note"]
    assert (note.concept_id, note.step, note.progress_current) == ("c0", "note", 0)
    assert note.reason is not None
    assert note.reason.startswith("searching for pages")
    assert len(note.reason) == 500


@virtual_time
async def test_a_step_without_prompt_and_make_is_refused_when_the_worker_opens() -> None:
    with pytest.raises(PluginError, match="step note: NoteStep must define prompt"):
        async with rig(settings=only(), plugins=[OwnSteps({"note": NoteStep})]):
            pass


@virtual_time
async def test_failures_in_a_task_group_of_a_step_mean_what_they_mean_alone() -> None:
    class Grouped(NoteStep):
        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(ctx.ask([Message("user", "a")]))
                asked = tasks.create_task(ctx.ask([Message("user", "b")]))
            return asked.result()

    provider = ScriptedProvider(lambda *_: (1.0, AccountExhausted("no credit")))
    async with rig(provider, settings=only(), plugins=[OwnSteps({"note": Grouped})]) as it:
        run = await it.generate(a_roadmap(1))
    assert (run.status, run.reason) == ("failed", "no credit")
