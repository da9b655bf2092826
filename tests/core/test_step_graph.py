"""Which steps wait for which, which run at once, and what checks do with an answer."""

import json

import pytest
from paceline import (
    AccountExhausted,
    Check,
    Checked,
    CompletionRequest,
    Message,
    Options,
    Refused,
    Register,
    SettingsError,
    Step,
    StepContext,
    Subject,
    UnusableAnswer,
    hookimpl,
)
from paceline.app import App
from paceline.errors import PluginError
from paceline.plugins.context import Context
from paceline.settings.load import load_settings
from paceline.settings.model import Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore
from pydantic import BaseModel

from tests.support.memory_worker import a_roadmap, rig
from tests.support.step_plugins import OwnSteps

SECONDS = {"tutorial": 10.0, "resources": 8.0, "quiz": 5.0}


def timed(request: CompletionRequest, _: int) -> Reply:
    return SECONDS[request.step], plain_answer(request.step)


class Note(BaseModel):
    text: str


class NoteStep(Step):
    answer = Note

    def prompt(self, subject: Subject) -> list[Message]:
        return [Message("user", f"{subject.concept.name}, {sorted(subject.earlier)}")]


def settings(**more: object) -> Settings:
    return Settings.model_validate({"strategy": ["unbounded"], **more})


async def seconds_of_one_concept(chosen: Settings) -> float:
    async with rig(ScriptedProvider(timed), settings=chosen) as it:
        run = await it.generate(a_roadmap(1))
    assert run.status == "completed"
    return round(run.seconds, 1)


@virtual_time
async def test_the_built_in_steps_are_serial_unless_the_settings_say_otherwise() -> None:
    assert await seconds_of_one_concept(settings()) == 23
    assert await seconds_of_one_concept(settings(run={"parallel_steps": True})) == 18
    alone: dict[str, object] = {name: {"needs": []} for name in SECONDS}
    assert await seconds_of_one_concept(settings(steps=alone)) == 10


@virtual_time
async def test_a_step_that_fails_leaves_independent_steps_alone() -> None:
    def script(request: CompletionRequest, _: int) -> Reply:
        if request.step == "resources":
            return 1.0, UnusableAnswer("refusal", "I cannot help with that")
        return timed(request, 0)

    chosen = settings(run={"parallel_steps": True, "failure_threshold": 1})
    async with rig(ScriptedProvider(script), settings=chosen) as it:
        run = await it.generate(a_roadmap(2))
        steps = await it.store.artifact_steps(run.run_id)
        failed = await it.store.concepts(run.run_id, status=("failed",))
        spending = await it.store.spending(run.run_id)
    assert run.status == "partial"
    assert set(steps.values()) == {frozenset({"tutorial", "quiz"})}
    assert all("I cannot help with that" in str(state.reason) for state in failed)
    assert spending.total.attempts == 6


@virtual_time
async def test_a_step_that_needs_a_failed_one_is_left_out() -> None:
    def script(request: CompletionRequest, _: int) -> Reply:
        if request.step == "resources":
            return 1.0, UnusableAnswer("refusal", "no")
        return timed(request, 0)

    provider = ScriptedProvider(script)
    async with rig(provider, settings=settings()) as it:
        await it.generate(a_roadmap(1))
    assert [request.step for request in provider.requests] == ["tutorial", "resources"]


@virtual_time
async def test_a_concept_completes_with_its_last_step_whatever_the_order() -> None:
    chosen = settings(steps={name: {"needs": []} for name in SECONDS})
    async with rig(
        ScriptedProvider(lambda *_: (1.0, plain_answer(_[0].step))), settings=chosen
    ) as it:
        run = await it.generate(a_roadmap(20))
        events = await it.events(run.run_id)
    assert (run.status, run.completed) == ("completed", 20)
    done = [
        event.concept_id for event in events if event.concept_id and event.status == "completed"
    ]
    assert sorted(done) == sorted(f"c{n}" for n in range(20))


@virtual_time
async def test_an_account_that_ends_in_one_step_saves_the_other_steps_in_flight() -> None:
    def script(request: CompletionRequest, _: int) -> Reply:
        if request.step == "quiz":
            return 1.0, AccountExhausted("no credit")
        return timed(request, 0)

    chosen = settings(run={"parallel_steps": True})
    async with rig(ScriptedProvider(script), settings=chosen) as it:
        run = await it.generate(a_roadmap(1))
        steps = await it.store.artifact_steps(run.run_id)
    assert (run.status, run.reason) == ("failed", "no credit")
    assert steps["c0"] == {"tutorial", "resources"}


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"quiz": {"needs": ["tutorals"]}}, "steps.quiz.needs: 'tutorals' is not in run.steps"),
        ({"quiz": {"needs": ["quiz"]}}, "steps.quiz.needs: 'quiz' cannot need itself"),
        ({"quizz": {"model": "main"}}, "steps.quizz: unknown step: did you mean 'quiz'"),
        ({"quiz": {"model": ["strong"]}}, "steps.quiz.model: unknown model 'strong'"),
        ({"quiz": {"checks": ["link"]}}, "steps.quiz.checks: unknown check 'link'"),
        ({"quiz": {"use": "acme:quiz"}}, "unknown step 'acme:quiz'"),
        ({"quiz": {"wrong": 1}}, "steps.quiz.wrong is not a known field"),
        (
            {"tutorial": {"needs": ["quiz"]}},
            "the steps quiz, resources, tutorial need each other in a cycle",
        ),
    ],
)
def test_faults_of_the_graph_are_found_when_the_settings_are_loaded(
    steps: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError) as error:
        App.load(overrides={"steps": steps}, environ={})
    assert message in str(error.value)


class Level(Options):
    """Options of ``leveled``."""

    level: int = 1
    """The level."""


class Leveled(NoteStep):
    def __init__(self, level: int) -> None:
        self.level = level

    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        return Note(text=f"level {self.level}")


class Acme:
    """A plugin with a step of its own and a replacement of a built-in one."""

    __name__ = "acme"

    @hookimpl
    def paceline_register_steps(self, register: Register[Step]) -> None:
        register("leveled", self._make, options=Level, summary="A step with options.")
        register("resources", self._make, options=Level, summary="Other resources.")

    def _make(self, options: Level, context: Context) -> Step:
        return Leveled(options.level)


@virtual_time
async def test_a_plugin_replaces_a_built_in_step_under_its_own_name() -> None:
    chosen = settings(steps={"resources": {"use": "acme:resources", "level": 7}})
    provider = ScriptedProvider(timed)
    async with rig(provider, settings=chosen, plugins=[Acme()]) as it:
        run = await it.generate(a_roadmap(1))
        (made,) = await it.store.artifacts(run.run_id, step="resources")
    assert json.loads(made.content) == {"text": "level 7"}
    assert [request.step for request in provider.requests] == ["tutorial", "quiz"]


def test_options_of_a_step_are_checked_by_its_own_model() -> None:
    app = App(plugins=[Acme()])
    with pytest.raises(SettingsError, match=r"steps.leveled.level must be a whole number"):
        load_settings(app.plugins, flags=(), environ={"PACELINE_STEPS__LEVELED__LEVEL": "high"})


class Rhymes(Check):
    """Finds a fault in the first answers, and mends white space."""

    def __init__(self, faults: int) -> None:
        self.faults = faults
        self.seen: list[str] = []

    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        assert isinstance(answer, Note)
        self.seen.append(answer.text)
        mended = Note(text=answer.text.strip())
        return Checked(mended, ["it does not rhyme"] if len(self.seen) <= self.faults else [])


def numbered(_request: CompletionRequest, number: int) -> Reply:
    return 1.0, json.dumps({"text": f" answer {number} "})


CHECKED = settings(run={"steps": ["note"]}, steps={"note": {"checks": ["rhymes"]}})


@virtual_time
async def test_a_check_sends_an_answer_back_once_with_its_problems() -> None:
    check, provider = Rhymes(faults=1), ScriptedProvider(numbered)
    plugin = OwnSteps({"note": NoteStep}, {"rhymes": lambda: check})
    async with rig(provider, settings=CHECKED, plugins=[plugin]) as it:
        run = await it.generate(a_roadmap(1))
        (artifact,) = await it.store.artifacts(run.run_id)
    assert json.loads(artifact.content) == {"text": "answer 2"}
    first, second = provider.requests
    assert second.messages[: len(first.messages)] == first.messages
    assert [message.role for message in second.messages[-2:]] == ["assistant", "user"]
    assert "- it does not rhyme" in second.messages[-1].content
    assert artifact.attempts == 2


@virtual_time
async def test_problems_that_remain_fail_the_concept_and_keep_the_answer() -> None:
    plugin = OwnSteps({"note": NoteStep}, {"rhymes": lambda: Rhymes(faults=9)})
    provider = ScriptedProvider(numbered)
    async with rig(provider, settings=CHECKED, plugins=[plugin]) as it:
        run = await it.generate(a_roadmap(1))
        (state,) = await it.store.concepts(run.run_id)
    assert state.reason == "a check found problems again: it does not rhyme"
    assert state.last_answer == '{"text":"answer 2"}'
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("by zero"), "check rhymes: ZeroDivisionError: by zero"),
        (PluginError("no dictionary"), "check rhymes: no dictionary"),
        (Refused("the dictionary is busy"), "check rhymes: the dictionary is busy"),
    ],
)
@virtual_time
async def test_an_exception_in_a_check_fails_the_concept_and_names_the_check(
    error: Exception, reason: str
) -> None:
    class Careless(Check):
        async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
            raise error

    plugin = OwnSteps({"note": NoteStep}, {"rhymes": Careless})
    async with rig(ScriptedProvider(numbered), settings=CHECKED, plugins=[plugin]) as it:
        run = await it.generate(a_roadmap(1))
        (state,) = await it.store.concepts(run.run_id)
    assert state.reason == reason


def test_a_name_that_another_plugin_offers_is_still_refused() -> None:
    first, second = OwnSteps({"note": NoteStep}), OwnSteps({"note": NoteStep}, name="second")
    with pytest.raises(PluginError, match="step 'note' is taken by own-steps"):
        App(plugins=[first, second])


@virtual_time
async def test_an_artifact_of_a_replaced_step_does_not_stop_the_steps_that_are_missing() -> None:
    def without_quiz(request: CompletionRequest, _: int) -> Reply:
        if request.step == "quiz":
            return 1.0, UnusableAnswer("refusal", "no")
        return timed(request, 0)

    store = MemoryStore()
    async with rig(ScriptedProvider(without_quiz), settings=settings(), store=store) as it:
        await it.generate(a_roadmap(1))
    chosen = settings(steps={"resources": {"use": "acme:resources"}})
    async with rig(ScriptedProvider(timed), settings=chosen, plugins=[Acme()], store=store) as it:
        run = await it.generate(a_roadmap(1))
    assert (run.status, run.completed) == ("completed", 1)
