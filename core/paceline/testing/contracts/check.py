"""What every check guarantees: it judges any valid answer, and changes only what is wrong."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ValidationError

from paceline.contracts.provider import Message
from paceline.contracts.steps.check import Check, Checked
from paceline.contracts.steps.step import Step, Subject
from paceline.roadmaps.model import Concept
from paceline.testing.contracts.contract import Contract, scenario, when
from paceline.testing.scripted_context import ModelCall, ModelReply, ScriptedContext


class CheckContract(Contract):
    """Inherit it, make your check, and give it answers.

    Declare:
        finds: whether ``bad`` returns answers that the check does not accept as they are.
        virtual: false if the check waits for something besides the context, such as a socket.
        patience: maximum seconds of one check.
    """

    finds: ClassVar[bool] = False
    patience: ClassVar[float] = 600.0

    def check(self) -> Check:
        """Make your check, as a new worker would; called on the event loop."""
        raise NotImplementedError(f"{type(self).__name__}.check() must return the check to test")

    def good(self) -> Sequence[BaseModel]:
        """Answers that pass; at least one."""
        raise NotImplementedError(f"{type(self).__name__}.good() must return answers that pass")

    def bad(self) -> Sequence[BaseModel]:
        """Answers that the check mends or sends back; called only if you declare ``finds``."""
        raise NotImplementedError(f"{type(self).__name__}.bad() must return answers with problems")

    def answer(self, call: ModelCall) -> ModelReply:
        """What a model answers to a call of the check, if it makes any."""
        raise NotImplementedError(f"{type(self).__name__}.answer() must answer the check's calls")

    def subject(self) -> Subject:
        """The concept of the answer."""
        return Subject(
            roadmap_id="roadmap",
            roadmap_title="A roadmap",
            stage="A stage",
            module="A module",
            concept=Concept(concept_id="recursion", name="Recursion"),
        )

    # -- the suite -----------------------------------------------------------------------------

    @scenario
    async def test_a_good_answer_passes(self) -> None:
        """A good answer has no problem, and what comes out is as good."""
        answers = self.good()
        assert answers, "no answer: `good` must return at least one"
        for answer in answers:
            result = await self.checked(answer)
            assert not list(result.problems), (
                f"false alarm: a good answer has the problems {list(result.problems)}"
            )
            again = await self.checked(result.answer)
            assert not list(again.problems), (
                f"restless check: its own answer has the problems {list(again.problems)}"
            )
            assert again.answer == result.answer, (
                "restless check: an answer that passed was changed again when it was checked again"
            )

    @when("finds")
    @scenario
    async def test_a_bad_answer_is_mended_or_sent_back(self) -> None:
        """A bad answer comes out changed, or with problems."""
        for answer in self.bad():
            before = answer.model_dump_json()
            result = await self.checked(answer)
            mended = result.answer.model_dump_json() != before
            assert mended or list(result.problems), (
                f"blind check: a bad answer passed unchanged: {before[:200]}"
            )

    @scenario
    async def test_any_answer_gets_a_result(self) -> None:
        """A check returns `Checked` for any valid answer, with problems that a model can read."""
        for answer in self.answers():
            kind, before = type(answer), answer.model_dump_json()
            result = await self.checked(answer)
            assert isinstance(result.answer, kind), (
                f"wrong type: the check must return {kind.__name__}, returned "
                f"{type(result.answer).__name__}"
            )
            try:
                kind.model_validate_json(result.answer.model_dump_json())
            except ValidationError as error:
                raise AssertionError(
                    f"broken answer: what the check returned is no valid {kind.__name__}: {error}"
                ) from None
            problems: object = result.problems
            assert not isinstance(problems, str), "no list: `problems` must be a list of texts"
            assert all(isinstance(one, str) and one.strip() for one in result.problems), (
                f"empty problem: each problem must be a text that says what is wrong: {problems!r}"
            )
            assert answer.model_dump_json() == before, (
                "changed in place: the check must return a mended copy, because the original is "
                "sent back with the problems"
            )

    @scenario
    async def test_a_cancelled_check_ends_at_once(self) -> None:
        """A run that is cancelled or paused stops its checks."""
        for answer in self.answers():
            check = self.new_check()
            checking = asyncio.create_task(
                check.check(answer, self.subject(), self.context(answer))
            )
            await asyncio.sleep(0)
            if checking.done():
                continue
            checking.cancel()
            await asyncio.wait({checking}, timeout=self.patience)
            assert checking.cancelled(), (
                "swallowed cancellation: `check` was cancelled and did not end with CancelledError"
            )

    @scenario
    async def test_closing_twice_is_harmless(self) -> None:
        """A worker closes its checks when it stops, also if it never used them."""
        check = self.check()
        await check.close()
        await check.close()
        used = self.check()
        await self._within(used, self.good()[0])
        await used.close()
        await used.close()

    # -- helpers of the suite ------------------------------------------------------------------

    def answers(self) -> Sequence[BaseModel]:
        """Every answer that the suite knows."""
        return [*self.good(), *(self.bad() if self.finds else ())]

    def context(self, answer: BaseModel) -> ScriptedContext:
        """A context for one check. Override it to give resources their keys."""
        return ScriptedContext(
            _Made(type(answer)), self.answer, seconds=1.0 if self.virtual else 0.001
        )

    def new_check(self) -> Check:
        """A check, closed at the end of the scenario."""
        check = self.check()
        self.opened.push_async_callback(check.close)
        return check

    async def checked(self, answer: BaseModel) -> Checked:
        """The result for an answer, by a new check."""
        return await self._within(self.new_check(), answer)

    async def _within(self, check: Check, answer: BaseModel) -> Checked:
        context = self.context(answer)
        try:
            async with asyncio.timeout(self.patience):
                result: object = await check.check(answer, self.subject(), context)
        except TimeoutError:
            raise AssertionError(f"`check` took more than {self.patience:g} s") from None
        except AssertionError:
            raise
        except Exception as error:
            if context.held:
                raise AssertionError(f"held resource: {context.held[0]}") from None
            raise AssertionError(
                f"raised: `check` raised {error!r} for a valid answer; return what is wrong as "
                "`problems`"
            ) from error
        assert isinstance(result, Checked), (
            f"no result: `check` must return Checked, got {result!r}"
        )
        return result


class _Made(Step):
    """The step that made the answers."""

    def __init__(self, kind: type[BaseModel]) -> None:
        self.answer = kind  # type: ignore[misc]

    def prompt(self, subject: Subject) -> Sequence[Message]:
        return [Message("user", subject.concept.name)]
