"""The scripted step context: what it records, and that it behaves as the worker's context does."""

from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from paceline import Message, Refused, Step, StepContext, Subject, Tool, ToolCall
from paceline.contracts.provider import CompletionRequest
from paceline.errors import PluginError, UnusableAnswer
from paceline.settings.model import Settings
from paceline.testing.scripted import Reply, ScriptedProvider
from paceline.testing.scripted_context import ModelCall, ModelReply, ScriptedContext, WorkerKilled
from paceline.testing.virtual_time import run_virtual, virtual_time
from pydantic import BaseModel

from tests.support.memory_worker import a_roadmap, rig
from tests.support.step_plugins import OwnSteps

ASKING = [Message("user", "Write a line.")]


class Line(BaseModel):
    """One line."""

    text: str


class Bare(Step):
    """A step for contexts that are used directly."""

    answer = Line


@virtual_time
async def test_answers_come_in_order_or_by_a_function() -> None:
    ctx = ScriptedContext(Bare(), ["one two", Line(text="three"), '{"text": "four"}'])
    assert await ctx.ask(ASKING, parse=str.split) == ["one", "two"]
    assert await ctx.ask(ASKING) == Line(text="three")
    assert await ctx.ask(ASKING, answer=Line, model="strong", max_tokens=9) == Line(text="four")
    assert [call.model for call in ctx.calls] == [(), (), ("strong",)]
    assert [call.answer for call in ctx.calls] == [None, Line, Line]
    assert ctx.calls[2].max_tokens == 9
    with pytest.raises(AssertionError, match="no answer is left for another call: 'Write a line"):
        await ctx.ask(ASKING)
    asked = ScriptedContext(Bare(), lambda call: Line(text=call.messages[0].content))
    assert await asked.ask(ASKING) == Line(text="Write a line.")


@virtual_time
async def test_an_answer_that_does_not_fit_is_repaired_once() -> None:
    ctx = ScriptedContext(Bare(), ["no JSON", Line(text="better"), "bad", "worse"])
    assert await ctx.ask(ASKING) == Line(text="better")
    with pytest.raises(UnusableAnswer):
        await ctx.ask(ASKING)
    assert len(ctx.calls) == 4
    with pytest.raises(Refused):
        await ScriptedContext(Bare(), [Refused("later")]).ask(ASKING)


@virtual_time
async def test_a_chat_returns_tool_calls_or_text() -> None:
    call = ToolCall(call_id="1", name="read", arguments="{}")
    ctx = ScriptedContext(Bare(), [Message("assistant", tool_calls=(call,)), "enough"])
    tool = Tool(name="read", description="Read.", parameters={"type": "object"})
    assert (await ctx.chat(ASKING, tools=[tool])).tool_calls == (call,)
    assert await ctx.chat(ASKING, tools=[tool]) == Message("assistant", "enough")
    assert ctx.calls[0].tools == (tool,)


@virtual_time
async def test_resources_have_their_keys_and_uses_are_recorded() -> None:
    ctx = ScriptedContext(Bare(), keys={"search": "a-key"})
    async with ctx.use("search", units=3) as use:
        assert use.key is not None
        assert use.key.get_secret_value() == "a-key"
    async with ctx.use("other") as use:
        assert use.key is None
    assert ctx.uses == [("search", 3), ("other", 1)]
    ctx.tell("done")
    assert ctx.notes == ["done"]


@virtual_time
async def test_a_killed_context_records_nothing_more() -> None:
    async def result() -> str:
        return "found"

    ctx = ScriptedContext(Bare(), dies_at=2)
    with pytest.raises(WorkerKilled):
        await ctx.once("search", result)
    with pytest.raises(WorkerKilled):
        await ctx.ask(ASKING)
    assert (ctx.executed, ctx.recorded) == (["search"], {})
    kept = ScriptedContext(Bare(), dies_at=3)
    with pytest.raises(WorkerKilled):
        await kept.once("search", result)
    again = ScriptedContext(Bare(), recorded=kept.recorded)
    assert await again.once("search", result) == "found"
    assert (again.executed, again.read) == ([], ["search"])


# -- as a worker does ------------------------------------------------------------------------------

Scene = Callable[[StepContext], Coroutine[Any, Any, object]]


async def number() -> object:
    return {"value": 1, "list": (1, 2)}


async def wrong() -> object:
    return object()


async def large() -> object:
    return "x" * 2**21


async def records(ctx: StepContext) -> object:
    return [await ctx.once("a", number), await ctx.once("a", wrong)]


async def records_wrong(ctx: StepContext) -> object:
    return await ctx.once("wrong", wrong)


async def records_much(ctx: StepContext) -> object:
    return await ctx.once("large", large)


async def records_another_type(ctx: StepContext) -> object:
    return await ctx.once("line", number, model=cast("type[object]", Line))


async def asks(ctx: StepContext) -> object:
    return await ctx.ask(ASKING)


async def parses(ctx: StepContext) -> object:
    return await ctx.ask(ASKING, parse=lambda text: text.count("text"))


async def asks_inside(ctx: StepContext) -> object:
    async with ctx.use("search"):
        return await ctx.ask(ASKING)


async def uses_inside(ctx: StepContext) -> object:
    async with ctx.use("search"), ctx.use("search"):
        return "never"


async def records_inside(ctx: StepContext) -> object:
    async with ctx.use("search"):
        return await ctx.once("inside", number)


@pytest.mark.parametrize(
    "scene",
    [
        records,
        records_wrong,
        records_much,
        records_another_type,
        asks,
        parses,
        asks_inside,
        uses_inside,
        records_inside,
    ],
)
def test_a_step_sees_what_it_would_see_in_a_worker(scene: Scene) -> None:
    expected = run_virtual(in_a_worker(scene))
    seen = run_virtual(_seen(scene, ScriptedContext(Bare(), lambda _: Line(text="a line"))))
    assert seen == expected


async def _seen(scene: Scene, ctx: StepContext) -> str:
    try:
        return f"returned {await scene(ctx)!r}"
    except PluginError:
        return "PluginError"


async def in_a_worker(scene: Scene) -> str:
    """What the scene sees with the context of a real pipeline."""
    seen: list[str] = []

    class Acting(Step):
        answer = Line

        async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
            seen.append(await _seen(scene, ctx))
            return Line(text="done")

    def reply(_request: CompletionRequest, _number: int) -> Reply:
        return 1.0, Line(text="a line")

    settings = Settings.model_validate(
        {
            "strategy": ["unbounded"],
            "run": {"steps": ["acting"]},
            "resources": {"search": {"concurrency": 2}},
        }
    )
    plugins = [OwnSteps({"acting": Acting})]
    async with rig(ScriptedProvider(reply), settings=settings, plugins=plugins) as it:
        assert (await it.generate(a_roadmap(1))).status == "completed"
    [only] = seen
    return only


@virtual_time
async def test_what_a_check_sent_back_is_part_of_the_prompt() -> None:
    ctx = ScriptedContext(
        Bare(), _line, previous=Line(text="first"), problems=["it must be longer"]
    )
    await ctx.ask(ASKING)
    await ctx.ask(ASKING, parse=str)
    asked, parsed = ctx.calls
    assert [one.role for one in asked.messages] == ["user", "assistant", "user"]
    assert "it must be longer" in asked.messages[2].content
    assert len(parsed.messages) == 1


def _line(_: ModelCall) -> ModelReply:
    return Line(text="a line")
