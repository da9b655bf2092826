"""What every step guarantees: a valid answer, and no recorded work that is done twice."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ValidationError

from paceline.contracts.steps.questions import Card, Question
from paceline.contracts.steps.step import Step, Subject
from paceline.errors import Fatal, PacelineError, first_cause
from paceline.roadmaps.model import Concept
from paceline.testing.contracts.contract import Contract, scenario
from paceline.testing.scripted_context import ModelCall, ModelReply, ScriptedContext, WorkerKilled

_FENCED = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?(^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^ {0,3}(#{1,6})(?: |$)", re.MULTILINE)


class StepContract(Contract):
    """Inherit it, make your step, and answer its calls.

    The suite runs ``make`` in a scripted context. It kills the worker at each wait of the
    context, and makes the step again with what was recorded. Results of ``ctx.once`` must then be
    read back under the same names.

    Declare:
        virtual: false if the step waits for something besides the context, such as a socket.
        patience: maximum seconds of one ``make``, and of a cancelled one.
    """

    patience: ClassVar[float] = 3600.0

    def step(self) -> Step:
        """Make your step, as a new worker would; give it fakes for what it reaches."""
        raise NotImplementedError(f"{type(self).__name__}.step() must return the step to test")

    def answer(self, call: ModelCall) -> ModelReply:
        """What a model answers to a call, by its messages; the same for equal calls."""
        raise NotImplementedError(f"{type(self).__name__}.answer() must answer the step's calls")

    def subject(self, concept: Concept) -> Subject:
        """The subject of a concept. Override it if your step needs earlier answers or context."""
        return Subject(
            roadmap_id="roadmap",
            roadmap_title="A roadmap",
            stage="A stage",
            module="A module",
            concept=concept,
        )

    def more_answers(self) -> Sequence[BaseModel]:
        """More valid answers to read and to export: short ones, long ones."""
        return ()

    # -- the suite -----------------------------------------------------------------------------

    @scenario
    async def test_make_returns_a_valid_answer(self) -> None:
        """``make`` returns an instance of ``answer`` that survives being stored as JSON."""
        step = self.step()
        kind: object = getattr(step, "answer", None)
        assert isinstance(kind, type), "no model: `answer` must be a pydantic model, got an object"
        assert issubclass(kind, BaseModel), f"no model: `answer` must be a pydantic model, {kind}"
        schema = kind.model_json_schema()
        assert schema.get("type") == "object", "no object: the JSON schema of `answer` must be one"
        answer = await self.made(step, self.context(step))
        self.fits(step, answer)
        text = answer.model_dump_json()
        try:
            stored = kind.model_validate_json(text)
        except ValidationError as error:
            raise AssertionError(
                f"lost in storage: the answer as JSON is no valid answer: {error}"
            ) from None
        assert stored == answer, "lost in storage: the answer read from JSON differs from it"

    @scenario
    async def test_prompts_differ_between_concepts(self) -> None:
        """Equal prompts would give every concept the same content."""
        prompts: list[list[ModelCall]] = []
        for number in range(2):
            step = self.step()
            context = self.context(step)
            await self.made(step, context, number)
            prompts.append(context.calls)
        first, second = prompts
        assert not first or first != second, (
            "equal prompts: the calls for two concepts have the same messages; put the concept's "
            "name and description into them"
        )

    @scenario
    async def test_a_killed_worker_repeats_nothing_that_was_recorded(self) -> None:
        """After a crash at any wait, the step is made again from what was recorded."""
        whole = self.context(step := self.step())
        await self.made(step, whole)
        names = whole.executed + whole.read
        twice = sorted({name for name in names if names.count(name) > 1})
        assert not twice, f"name used twice: `ctx.once` has {twice} more than once in one `make`"
        for at in range(1, len(whole.waits) + 1):
            killed = self.context(step := self.step(), dies_at=at)
            await self.killed(step, killed)
            again = self.context(step := self.step(), recorded=killed.recorded)
            self.fits(step, await self.made(step, again))
            where = f"the worker was killed at wait {at} ({whole.waits[at - 1]})"
            unread = sorted(set(killed.recorded) - set(again.read))
            assert not unread, (
                f"done twice: {where}, and the next `make` did not read {unread} back but called "
                f"{again.executed}; give `ctx.once` the same names each time"
            )
            repeated = [name for name in again.executed if name in killed.recorded]
            assert not repeated, f"done twice: {where}, and {repeated} were called again"

    @scenario
    async def test_no_call_is_made_while_a_resource_is_held(self) -> None:
        """A step that waits for admission while it holds a resource can wait for ever."""
        step = self.step()
        context = self.context(step)
        try:
            await self.made(step, context)
        except PacelineError:
            if not context.held:
                raise
        assert not context.held, f"held resource: {context.held[0]}; leave the block first"

    @scenario
    async def test_a_failed_call_stays_a_failed_call(self) -> None:
        """The error of a call reaches the worker, or the step makes an answer without the call."""
        whole = self.context(step := self.step())
        await self.made(step, whole)
        for failing in range(len(whole.calls)):
            step = self.step()
            context = ScriptedContext(step, _failing(self, failing))
            try:
                self.fits(step, await self.made(step, context))
            except PacelineError:
                continue
            except AssertionError:
                raise
            except Exception as error:
                raise AssertionError(
                    f"strange error: call {failing + 1} failed with Fatal, and `make` raised "
                    f"{error!r}; let errors of paceline pass"
                ) from error

    @scenario
    async def test_a_cancelled_step_ends_at_once(self) -> None:
        """A run that is cancelled or paused stops its steps at whatever they wait for."""
        whole = self.context(step := self.step())
        await self.made(step, whole)
        for at in range(1, len(whole.waits) + 1):
            context = self.context(step := self.step())
            making = asyncio.create_task(step.make(self.a_subject(), context))
            context.on_wait = partial(_cancel_at, at, making)
            await asyncio.wait({making}, timeout=self.patience)
            where = f"`make` was cancelled at wait {at} ({whole.waits[at - 1]})"
            assert making.cancelled(), (
                f"swallowed cancellation: {where} and did not end with CancelledError"
            )
            waits = len(context.waits)
            await asyncio.sleep(3 * context.seconds)
            assert len(context.waits) == waits, (
                f"task left behind: {where}, and a task of it went on to {context.waits[-1]!r}"
            )

    @scenario
    async def test_an_answer_that_a_check_sends_back_is_made_again(self) -> None:
        """A check can send an answer back once: ``make`` then runs with its problems."""
        first = self.context(step := self.step())
        answer = await self.made(step, first)
        again = ScriptedContext(
            step,
            self.answer,
            recorded=first.recorded,
            previous=answer,
            problems=["the first line is wrong"],
        )
        self.fits(step, await self.made(step, again))

    @scenario
    async def test_any_answer_can_be_read(self) -> None:
        """``readable`` and ``solutions`` are Markdown that fits below the concept's heading."""
        step = self.step()
        made = await self.made(step, self.context(step))
        for answer in (made, *self.more_answers()):
            before = answer.model_dump_json()
            for method, least in ((step.readable, 2), (step.solutions, 3)):
                name = method.__name__
                text: object = method(answer)
                assert isinstance(text, str), f"no Markdown: `{name}` must return a text: {text!r}"
                assert text.strip() or name == "solutions", f"no Markdown: `{name}` returned none"
                levels = [len(found) for found in _HEADING.findall(_FENCED.sub("", text))]
                assert min(levels, default=least) >= least, (
                    f"heading too high: `{name}` has one of level {min(levels)}, it must begin at "
                    f"level {least}"
                )
            assert answer.model_dump_json() == before, "changed answer: reading it changed it"

    @scenario
    async def test_questions_and_cards_of_any_answer_can_be_exported(self) -> None:
        """``questions`` and ``cards`` return their records, the same ones each time."""
        step = self.step()
        made = await self.made(step, self.context(step))
        for answer in (made, *self.more_answers()):
            for method, kind in ((step.questions, Question), (step.cards, Card)):
                name = method.__name__
                try:
                    found = cast("Sequence[object]", method(answer))
                except Exception as error:
                    raise AssertionError(
                        f"not exported: `{name}` raised {type(error).__name__}: {error}"
                    ) from error
                wrong = [one for one in found if not isinstance(one, kind)]
                assert not wrong, f"no record: `{name}` must return {kind.__name__}: {wrong[:1]}"
                assert list(method(answer)) == list(found), (
                    f"unstable: `{name}` must return the same records each time"
                )

    # -- helpers of the suite ------------------------------------------------------------------

    def context(
        self, step: Step, *, recorded: Mapping[str, str] | None = None, dies_at: int | None = None
    ) -> ScriptedContext:
        """A context for one ``make``. Override it to give resources their keys."""
        return ScriptedContext(
            step,
            self.answer,
            recorded=recorded,
            dies_at=dies_at,
            seconds=1.0 if self.virtual else 0.001,
        )

    def a_subject(self, number: int = 0) -> Subject:
        """The subject of one of the suite's concepts."""
        name = ("Recursion", "Sorting")[number]
        return self.subject(
            Concept(concept_id=name.lower(), name=name, description=f"What {name} is for.")
        )

    async def made(self, step: Step, context: ScriptedContext, number: int = 0) -> BaseModel:
        """What ``make`` returns, within ``patience``."""
        return await self._within(step.make(self.a_subject(number), context))

    async def killed(self, step: Step, context: ScriptedContext) -> None:
        """Run ``make`` until the worker is killed."""
        try:
            await self._within(step.make(self.a_subject(), context))
        except BaseException as error:
            if isinstance(first_cause(error), WorkerKilled):
                return
            raise AssertionError(
                f"caught too much: `make` raised {error!r} when its worker was killed; catch "
                "`Exception` at most"
            ) from error
        raise AssertionError("caught too much: `make` went on after its worker was killed")

    async def _within(self, making: Coroutine[Any, Any, BaseModel]) -> BaseModel:
        try:
            async with asyncio.timeout(self.patience):
                return await making
        except TimeoutError:
            raise AssertionError(f"`make` took more than {self.patience:g} s") from None

    def fits(self, step: Step, answer: object) -> None:
        """Check the type of an answer."""
        assert isinstance(answer, step.answer), (
            f"wrong type: `make` must return {step.answer.__name__}, returned "
            f"{type(answer).__name__}"
        )


def _cancel_at(at: int, task: "asyncio.Task[BaseModel]", number: int) -> None:
    if number == at:
        task.cancel()


def _failing(suite: StepContract, failing: int) -> Callable[[ModelCall], ModelReply]:
    """The suite's answers, but the call with this number fails for good."""
    number = -1

    def answer(call: ModelCall) -> ModelReply:
        nonlocal number
        number += 1
        return Fatal("the call failed") if number == failing else suite.answer(call)

    return answer
