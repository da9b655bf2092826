"""The built-in steps, and a step with tools, resources and recorded results, keep the contract."""

import asyncio
from functools import partial
from typing import ClassVar

from paceline import Concept, Message, Step, StepContext, Subject, Tool, ToolCall
from paceline.testing.contracts import StepContract
from paceline.testing.scripted import plain_answer
from paceline.testing.scripted_context import ModelCall, ModelReply
from pydantic import BaseModel

from tests.support.shipped_steps import step


class TestTutorial(StepContract):
    name: ClassVar[str] = "tutorial"

    def step(self) -> Step:
        return step(self.name)

    def answer(self, call: ModelCall) -> ModelReply:
        return plain_answer(self.name)


class TestResources(TestTutorial):
    name = "resources"


class TestQuiz(TestTutorial):
    name = "quiz"


class Notes(BaseModel):
    """Notes on what was found."""

    lines: list[str]


class Found(BaseModel):
    """A result of a search."""

    title: str


class Researched(Step):
    """Asks for queries, searches, and lets the model read pages with a tool."""

    answer = Notes

    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        name = subject.concept.name
        queries = await ctx.once("queries", lambda: self.queries(name, ctx))
        found = await asyncio.gather(
            *(
                ctx.once(f"search {query}", partial(self.search, query, ctx), model=Found)
                for query in queries
            )
        )
        tool = Tool(name="read", description="Read a page.", parameters={"type": "object"})
        prompt = [Message("user", f"{name}: {', '.join(one.title for one in found)}")]
        said = await ctx.chat(prompt, tools=[tool], model=["main", "strong"])
        while said.tool_calls:
            prompt += [said, *[await self.read(call, ctx) for call in said.tool_calls]]
            said = await ctx.chat(prompt, tools=[tool])
        return await ctx.ask([*prompt, said, Message("user", "Write the notes.")])

    async def queries(self, name: str, ctx: StepContext) -> list[str]:
        return await ctx.ask([Message("user", f"Queries for {name}")], parse=str.split)

    async def search(self, query: str, ctx: StepContext) -> Found:
        ctx.tell(f"searching {query}")
        async with ctx.use("search"):
            await asyncio.sleep(1)
        return Found(title=f"About {query}")

    async def read(self, call: ToolCall, ctx: StepContext) -> Message:
        text = await ctx.once(f"read {call.arguments}", self.page)
        return Message("tool", str(text), tool_call_id=call.call_id)

    async def page(self) -> str:
        return "a page"


class TestResearched(StepContract):
    def step(self) -> Step:
        return Researched()

    def answer(self, call: ModelCall) -> ModelReply:
        first = call.messages[0].content
        if first.startswith("Queries for"):
            return "one two"
        if not call.tools:
            return Notes(lines=[first])
        if len(call.messages) == 1:
            return Message(
                "assistant", tool_calls=(ToolCall(call_id="1", name="read", arguments="x"),)
            )
        return "enough"

    def subject(self, concept: Concept) -> Subject:
        return super().subject(concept)
