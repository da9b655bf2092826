"""What a step can do while it makes one artifact: ask models, use resources, record results."""

import hashlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, TypeVar, cast

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from paceline.calls.llm_call import Caller, CallFailed
from paceline.calls.models import Model, ModelDown, Skip
from paceline.calls.provider_health import ProviderHealth
from paceline.calls.tally import Tally
from paceline.calls.task_state import TaskState
from paceline.calls.trace import Trace
from paceline.contracts.admission.work import Work
from paceline.contracts.provider import Completion, CompletionRequest, JsonSchema, Message, Tool
from paceline.contracts.steps.step import Step, StepContext, Use
from paceline.errors import PluginError, ProviderUnusable, UnusableAnswer
from paceline.generation.journal import Journal
from paceline.generation.parts import Parts
from paceline.settings.steps import chain_of
from paceline.steps.answers import parse_answer

ParsedT = TypeVar("ParsedT")

#: Maximum number of characters of a note.
MAX_NOTE = 500
#: Source of jitter.
_CHANCE = random.Random()  # noqa: S311
#: The resource that the current task holds.
_held: ContextVar[str | None] = ContextVar("_held", default=None)


@dataclass(slots=True)
class RunningStep(StepContext):
    """The context of one step of one concept.

    Attributes:
        name: name of the step.
        step: the step.
        parts: the parts of the process.
        work: what asks for the admission of a call to the first model.
        state: whether the concept's task rests.
        health: what the run's calls tell about a model.
        journal: results that were recorded.
        note: publishes a note.
        record: records what the step has cost so far.
        ids: ids that the prompts contain.
        tally: what the calls cost.
        trace: when the calls waited and were in flight.
        wrote: the models that answered, in order, as providers report them.
        fallback: why a model that the step prefers did not answer.
        revises: whether the step makes another version of its artifact.
        current: the version that it replaces, as JSON.
        prompt_hash: hash of the messages of the first call.
    """

    name: str
    step: Step
    parts: Parts
    work: Work
    state: TaskState
    health: Callable[[Model], ProviderHealth]
    journal: Journal
    note: Callable[[str], None]
    record: Callable[[], Awaitable[None]]
    ids: frozenset[str]
    tally: Tally = field(default_factory=Tally)
    trace: Trace = field(default_factory=Trace)
    wrote: list[str] = field(default_factory=list[str])
    fallback: str | None = None
    problems: Sequence[str] = ()
    previous: BaseModel | None = None
    revises: bool = False
    current: str | None = None
    instruction: str | None = None
    prompt_hash: str | None = None
    _recorded: int = 0

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
        """Ask a model until its answer can be used."""
        schema: JsonSchema | None = None
        if parse is not None:
            reader: Callable[[Completion], object] = partial(_parsed, parse)
        else:
            kind = answer or self.step.answer
            schema = schema_of(kind)
            reader = partial(_answered, kind, self.ids)
        if parse is None and (answer is None or answer is self.step.answer):
            if self.revises:
                messages = [*messages, *for_revision(self.current, self.instruction)]
            messages = [*messages, *sent_back(self.previous, self.problems)]
        return await self._call(
            self._request(messages, schema, max_tokens, temperature), reader, model
        )

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool],
        model: str | Sequence[str] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Message:
        """Ask a model that may call tools."""
        request = self._request(messages, None, max_tokens, temperature)
        return await self._call(replace(request, tools=tuple(tools)), _said, model)

    @asynccontextmanager
    async def use(self, resource: str, *, units: int = 1) -> AsyncGenerator[Use]:
        """Use a resource within ``async with``."""
        self._refuse_held(f"ctx.use({resource!r})")
        self.state.rest()
        work = replace(self.work, key=f"resource:{resource}")
        telemetry = self.parts.telemetry
        admission = self.parts.resources.use(resource, work, units)
        with telemetry.admit(work), self.state.waiting("resource"), self.trace.doing("waiting"):
            use = await admission.__aenter__()
        token = _held.set(resource)
        try:
            with self.state.in_use(), telemetry.use(work), self.trace.doing("using"):
                yield use
        except BaseException as error:
            if not await admission.__aexit__(type(error), error, error.__traceback__):
                raise
        else:
            await admission.__aexit__(None, None, None)
        finally:
            _held.reset(token)

    async def once(
        self,
        name: str,
        function: Callable[[], Awaitable[object]],
        *,
        model: type[object] | None = None,
    ) -> Any:
        """Do something once, also if the worker is killed afterwards."""
        kind: TypeAdapter[Any] = TypeAdapter(model or JsonValue)
        recorded = await self.journal.read(self.name, self.step.version, name)
        if recorded is not None:
            return kind.validate_json(recorded)
        result = await function()
        self.state.work()  # a drain must not lose what was paid
        text = result_as_json(kind, result, f"step {self.name}: ctx.once({name!r})")
        await self._record()
        await self.journal.write(self.name, self.step.version, name, text)
        return kind.validate_json(text)

    def tell(self, note: str) -> None:
        """Publish a note about the progress of the concept."""
        self.note(" ".join(note.split())[:MAX_NOTE])

    # -- calls -----------------------------------------------------------------------------

    def _request(
        self,
        messages: Sequence[Message],
        schema: JsonSchema | None,
        max_tokens: int | None,
        temperature: float | None,
    ) -> CompletionRequest:
        settings = self.parts.settings.step(self.name)
        return CompletionRequest(
            messages=tuple(messages),
            step=self.name,
            schema=schema,
            max_tokens=max_tokens or settings.max_tokens or self.step.max_tokens,
            temperature=settings.temperature if temperature is None else temperature,
        )

    async def _call(
        self,
        request: CompletionRequest,
        parse: Callable[[Completion], ParsedT],
        model: str | Sequence[str] | None,
    ) -> ParsedT:
        """Ask the models of a chain in order until one answers."""
        self._refuse_held("a call")
        if self.prompt_hash is None:
            self.prompt_hash = hash_of_messages(request.messages)
        names = (
            [model] if isinstance(model, str) else model or chain_of(self.parts.settings, self.name)
        )
        chain = self.parts.models.chain(names)
        reasons: list[str] = []
        failure: CallFailed | None = None
        await self._record()
        for place, one in enumerate(chain):
            others = len(chain) > 1
            last = place == len(chain) - 1
            skip: Callable[[], bool] = Skip(one) if others else _never
            caller = Caller(
                one.provider,
                self.parts.strategy,
                one.settings,
                self.state,
                self.health(one),
                _CHANCE,
                skip,
                self.trace,
            )
            work = self.work if self.work.key == one.key else replace(self.work, key=one.key)
            try:
                answer = await caller.ask(
                    work, request, parse, tally=self.tally, record=self.record
                )
            except ModelDown:
                reasons.append(f"{one.name}: {one.down}")
            except ProviderUnusable as error:
                one.name_settings(error)
                if not others:
                    raise
                one.failed(error)
                reasons.append(f"{one.name}: {error}")
            except CallFailed as error:
                one.name_settings(error)
                if last and not reasons:
                    raise
                failure = error
                reasons.append(f"{one.name}: {error}")
            else:
                one.answered()
                self.wrote.append(answer.model)
                if reasons:
                    self.fallback = "; ".join(reasons)
                    self.parts.gauges.fallbacks += 1
                return answer.value
        if failure is not None:
            raise CallFailed("; ".join(reasons), failure.last_answer, failure.pattern)
        raise ProviderUnusable(f"no model can answer: {'; '.join(reasons)}")

    async def _record(self) -> None:
        """Record what earlier calls cost, so that a crash from now on does not forget it."""
        if self.tally.tokens > self._recorded:
            await self.record()
            self._recorded = self.tally.tokens

    def _refuse_held(self, what: str) -> None:
        held = _held.get()
        if held is not None:
            raise PluginError(
                f"step {self.name}: {what} inside ctx.use({held!r}) could wait for ever, because "
                "it waits for admission while it holds another; leave the block first"
            )


def result_as_json(kind: TypeAdapter[Any], result: object, place: str) -> str:
    """The result of ``ctx.once`` as JSON text.

    Args:
        kind: the type that the result must have.
        result: what the function returned.
        place: the step and the call, for the error.

    Raises:
        PluginError: the result is not of that type.
    """
    try:
        return kind.dump_json(kind.validate_python(result)).decode()
    except (ValidationError, ValueError) as error:
        raise PluginError(f"{place} must return JSON values of its type: {error}") from None


def for_revision(current: str | None, instruction: str | None) -> Sequence[Message]:
    """The current version and what to change, as messages."""
    if current is None:
        return () if instruction is None else (Message("user", instruction),)
    wish = instruction or "Improve it where you can, and keep what is right."
    return (
        Message("assistant", current),
        Message("user", f"Write a complete new version of your answer. What to change:\n{wish}"),
    )


def hash_of_messages(messages: Sequence[Message]) -> str:
    """A hash of a prompt: equal prompts have equal hashes."""
    text = "\0".join([f"{message.role}\0{message.content}" for message in messages])
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def sent_back(previous: BaseModel | None, problems: Sequence[str]) -> Sequence[Message]:
    """The previous answer and its problems as messages, if the checks sent it back."""
    if previous is None or not problems:
        return ()
    listed = "\n".join(f"- {problem}" for problem in problems)
    return (
        Message("assistant", previous.model_dump_json()),
        Message(
            "user",
            f"A check of that answer found problems:\n{listed}\n"
            "Answer again, completely, without these problems.",
        ),
    )


def _never() -> bool:
    return False


def _parsed(parse: Callable[[str], ParsedT], completion: Completion) -> ParsedT:
    if not completion.text.strip():
        raise UnusableAnswer("empty", "the answer holds no text")
    try:
        return parse(completion.text)
    except ValueError as error:
        raise UnusableAnswer("malformed", str(error), completion.text) from None


def _answered(kind: type[BaseModel], ids: frozenset[str], completion: Completion) -> BaseModel:
    return parse_answer(kind, completion.text, ids=ids)


def _said(completion: Completion) -> Message:
    if not completion.text.strip() and not completion.tool_calls:
        raise UnusableAnswer("empty", "the answer holds neither text nor a tool call")
    return Message("assistant", completion.text, tool_calls=completion.tool_calls)


@cache
def schema_of(answer: type[BaseModel]) -> JsonSchema:
    """The JSON schema of an answer."""
    return cast("JsonSchema", answer.model_json_schema())
