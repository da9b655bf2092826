"""A step context for tests: it answers by a script, records what the step does, and can crash."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, JsonValue, SecretStr, TypeAdapter

from paceline.contracts.provider import Message, Tool
from paceline.contracts.steps.step import Step, StepContext, Use
from paceline.errors import PluginError, UnusableAnswer
from paceline.generation.journal import MAX_BYTES
from paceline.generation.step_context import result_as_json, sent_back
from paceline.steps.answers import parse_answer

#: What a model answers: an answer, its text, a message (for ``chat``), or the error of the call.
ModelReply = BaseModel | Message | str | Exception

_held: ContextVar[str | None] = ContextVar("_held", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One call of ``ask`` or ``chat``.

    Attributes:
        messages: the prompt.
        answer: model of the answer; ``None`` for plain text and for ``chat``.
        tools: the tools of ``chat``.
        model: names of the models; empty if the settings choose.
        max_tokens: bound of the answer, if the step gave one.
        temperature: sampling temperature, if the step gave one.
    """

    messages: tuple[Message, ...]
    answer: type[BaseModel] | None = None
    tools: tuple[Tool, ...] = ()
    model: tuple[str, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None


class WorkerKilled(BaseException):
    """The worker of this context was killed; no code of the step may catch it."""


class ScriptedContext(StepContext):
    """Answers by a script and records what the step does.

    As in a worker, results of ``once`` pass through JSON, an answer that does not fit is repaired
    once, and a step that waits while it holds a resource gets a ``PluginError``. If the checks
    sent an answer back, ``ask`` adds it and its problems to the prompt.

    Args:
        step: the step under test.
        answers: replies of the models: in order, or a function of each call.
        recorded: results of ``once`` by name, as JSON. Pass those of a killed context to go on.
        keys: the API key of each resource that has one.
        previous: the previous answer, if the checks sent it back.
        problems: what the checks found in it.
        seconds: duration of each wait.
        dies_at: number of the wait, from 1, at which the worker is killed.

    Attributes:
        calls: every call of a model, repairs included.
        notes: the texts of ``tell``.
        uses: resource and units of each ``use``.
        executed: names of the functions that ``once`` called.
        read: names of the results that ``once`` read back.
        waits: what each wait was for, in order.
        held: waits that were refused because the step held a resource.
        seconds: duration of each wait.
        on_wait: called with the number of each wait when it begins.
    """

    def __init__(
        self,
        step: Step,
        answers: Callable[[ModelCall], ModelReply] | Sequence[ModelReply] = (),
        *,
        recorded: Mapping[str, str] | None = None,
        keys: Mapping[str, str] | None = None,
        previous: BaseModel | None = None,
        problems: Sequence[str] = (),
        seconds: float = 1.0,
        dies_at: int | None = None,
    ) -> None:
        self.previous = previous
        self.problems = problems
        self.calls: list[ModelCall] = []
        self.notes: list[str] = []
        self.uses: list[tuple[str, int]] = []
        self.executed: list[str] = []
        self.read: list[str] = []
        self.waits: list[str] = []
        self.held: list[str] = []
        self.recorded = dict(recorded or {})
        self.seconds = seconds
        self.on_wait: Callable[[int], None] = lambda _: None
        self._step = step
        self._answers = answers if callable(answers) else _in_order(answers)
        self._keys = keys or {}
        self._dies_at = dies_at

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        answer: type[BaseModel] | None = None,
        parse: Callable[[str], object] | None = None,
        model: str | Sequence[str] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Any:
        """Return the scripted answer; one that does not fit is asked for once more."""
        kind = None if parse is not None else answer or self._step.answer
        if kind is self._step.answer:
            messages = [*messages, *sent_back(self.previous, self.problems)]
        call = ModelCall(
            messages=tuple(messages),
            answer=kind,
            model=_names(model),
            max_tokens=max_tokens,
            temperature=temperature,
        )
        try:
            return _read(kind, parse, await self._reply("ask", call))
        except UnusableAnswer:
            return _read(kind, parse, await self._reply("ask again", call))

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool],
        model: str | Sequence[str] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Message:
        """Return the scripted message."""
        call = ModelCall(
            messages=tuple(messages),
            tools=tuple(tools),
            model=_names(model),
            max_tokens=max_tokens,
            temperature=temperature,
        )
        reply = await self._reply("chat", call)
        return reply if isinstance(reply, Message) else Message("assistant", _text(reply))

    @asynccontextmanager
    async def use(self, resource: str, *, units: int = 1) -> AsyncGenerator[Use]:
        """Record the use; nothing limits it."""
        await self._wait(f"use {resource!r}", admitted=True)
        self.uses.append((resource, units))
        token = _held.set(resource)
        key = self._keys.get(resource)
        try:
            yield Use(None if key is None else SecretStr(key))
        finally:
            _held.reset(token)

    async def once(
        self,
        name: str,
        function: Callable[[], Awaitable[object]],
        *,
        model: type[object] | None = None,
    ) -> Any:
        """Call the function and record its result as JSON, or read the result back."""
        kind: TypeAdapter[Any] = TypeAdapter(model or JsonValue)
        await self._wait(f"read {name!r}")
        if name in self.recorded:
            self.read.append(name)
            return kind.validate_json(self.recorded[name])
        self.executed.append(name)
        result = await function()
        await self._wait(f"record {name!r}")
        text = result_as_json(kind, result, f"ctx.once({name!r})")
        if len(text.encode()) > MAX_BYTES:
            raise PluginError(f"the result of ctx.once({name!r}) must not be larger than 1 MiB")
        self.recorded[name] = text
        await self._wait(f"return {name!r}")
        return kind.validate_json(text)

    def tell(self, note: str) -> None:
        """Record the note."""
        self.notes.append(note)

    async def _reply(self, what: str, call: ModelCall) -> BaseModel | Message | str:
        await self._wait(what, admitted=True)
        self.calls.append(call)
        reply = self._answers(call)
        await self._wait(f"answer to {what}")
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def _wait(self, what: str, *, admitted: bool = False) -> None:
        """Wait as a worker would; ``admitted`` waits are refused while a resource is held."""
        held = _held.get()
        if admitted and held is not None:
            self.held.append(f"{what} inside ctx.use({held!r})")
            raise PluginError(f"{self.held[-1]} could wait for ever; leave the block first")
        self.waits.append(what)
        self._die(what)
        self.on_wait(len(self.waits))
        await asyncio.sleep(self.seconds)
        self._die(what)  # another task of the step was in the wait that killed the worker

    def _die(self, what: str) -> None:
        if self._dies_at is not None and len(self.waits) >= self._dies_at:
            raise WorkerKilled(what)


def _in_order(answers: Sequence[ModelReply]) -> Callable[[ModelCall], ModelReply]:
    left = iter(answers)

    def answer(call: ModelCall) -> ModelReply:
        try:
            return next(left)
        except StopIteration:
            last = call.messages[-1].content[:200] if call.messages else ""
            raise AssertionError(f"no answer is left for another call: {last!r}") from None

    return answer


def _names(model: str | Sequence[str] | None) -> tuple[str, ...]:
    return (model,) if isinstance(model, str) else tuple(model or ())


def _text(reply: BaseModel | Message | str) -> str:
    if isinstance(reply, BaseModel):
        return reply.model_dump_json()
    return reply.content if isinstance(reply, Message) else reply


def _read(
    kind: type[BaseModel] | None,
    parse: Callable[[str], object] | None,
    reply: BaseModel | Message | str,
) -> object:
    """The result of ``ask``.

    Raises:
        UnusableAnswer: the reply does not fit.
    """
    text = _text(reply)
    if kind is not None:
        return parse_answer(kind, text)
    try:
        return text if parse is None else parse(text)
    except ValueError as error:
        raise UnusableAnswer("malformed", str(error), text) from None
