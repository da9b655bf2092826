"""The suites of steps and checks catch planted faults by name."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

import pytest
from paceline import Card, Check, Checked, Message, Question, Step, StepContext, Subject
from paceline.testing.contracts import CheckContract, Contract, StepContract
from paceline.testing.scripted_context import ModelCall, ModelReply
from pydantic import BaseModel, field_validator

from tests.support.suite_runs import complaint, names_of

_NUMBERS = itertools.count()


class Note(BaseModel):
    """A note."""

    text: str
    links: list[str] = []

    @field_validator("text")
    @classmethod
    def _short(cls, text: str) -> str:
        if len(text) > 1000:
            raise ValueError("must be shorter")
        return text


class Other(BaseModel):
    """Another model."""

    text: str = "other"


class Good(Step):
    """Searches once and asks once."""

    answer = Note

    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        async with ctx.use("search"):
            ctx.tell("searching")
        found = await ctx.once("search", self.search)
        prompt = [Message("user", f"{subject.concept.name}: {found}")]
        return await ctx.ask(prompt)

    async def search(self) -> str:
        return "found"


class ReturnsAnother(Good):
    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        await super().make(subject, ctx)
        return Other()


class _Lossy(Note):
    @field_validator("links", mode="before")
    @classmethod
    def _one(cls, links: object) -> object:
        return links[1:] if isinstance(links, list) else links


class LosesInStorage(Good):
    answer = _Lossy


class AsksAlike(Good):
    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        return await ctx.ask([Message("user", "Write a note.")])


class NamesAnew(Good):
    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        found = await ctx.once(f"search {next(_NUMBERS)}", self.search)
        return await ctx.ask([Message("user", f"{subject.concept.name}: {found}")])


class NamesAlike(Good):
    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        await ctx.once("search", self.search)
        return await super().make(subject, ctx)


class CatchesKills(Good):
    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        try:
            return await super().make(subject, ctx)
        except BaseException:  # noqa: BLE001
            return Note(text="something")


class AsksInside(Good):
    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        async with ctx.use("search"):
            return await super().make(subject, ctx)


class HidesAsksInside(Good):
    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        async with ctx.use("search"):
            with suppress(Exception):
                return await ctx.ask([Message("user", subject.concept.name)])
        return Note(text="no answer")


class RenamesFailures(Good):
    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        try:
            return await super().make(subject, ctx)
        except Exception as error:
            raise RuntimeError("no answer") from error


class SwallowsCancellations(Good):
    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        try:
            return await super().make(subject, ctx)
        except asyncio.CancelledError:
            return Note(text="nothing")


class LeavesTasks(Good):
    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        self.task = asyncio.create_task(super().make(subject, ctx))
        return await asyncio.shield(self.task)


class IgnoresProblems(Good):
    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        return Other() if ctx.problems else await super().make(subject, ctx)


class ReadsHigh(Good):
    def readable(self, answer: BaseModel) -> str:
        return "```\n# no heading\n```\n# Title\n\ntext"


class SolvesHigh(Good):
    def solutions(self, answer: BaseModel) -> str:
        return "## Answers"


class ReadsNothing(Good):
    def readable(self, answer: BaseModel) -> str:
        return ""


class ChangesWhatItReads(Good):
    def readable(self, answer: BaseModel) -> str:
        assert isinstance(answer, Note)
        answer.links.append("https://example.org")
        return answer.text


class QuestionsFail(Good):
    def questions(self, answer: BaseModel) -> Sequence[Question]:
        return [Question(text="Which?", choices=["one"], right=[0])]


class NoCards(Good):
    def cards(self, answer: BaseModel) -> Sequence[Card]:
        return cast("Sequence[Card]", ["front"])


class OtherCardsEachTime(Good):
    def __init__(self) -> None:
        self.reads = 0

    def cards(self, answer: BaseModel) -> Sequence[Card]:
        self.reads += 1
        return [Card(front=str(self.reads), back="back")]


EXPORTED = "test_questions_and_cards_of_any_answer_can_be_exported"


def steps(made: type[Step]) -> type[StepContract]:
    """What an author would write."""

    class Suite(StepContract):
        def step(self) -> Step:
            return made()

        def answer(self, call: ModelCall) -> ModelReply:
            return Note(text="a note", links=["https://a.example", "https://b.example"])

    return Suite


KILLED = "test_a_killed_worker_repeats_nothing_that_was_recorded"


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        (ReturnsAnother, "test_make_returns_a_valid_answer", "wrong type"),
        (LosesInStorage, "test_make_returns_a_valid_answer", "lost in storage"),
        (AsksAlike, "test_prompts_differ_between_concepts", "equal prompts"),
        (NamesAnew, KILLED, "done twice"),
        (NamesAlike, KILLED, "name used twice"),
        (CatchesKills, KILLED, "caught too much"),
        (AsksInside, "test_no_call_is_made_while_a_resource_is_held", "held resource"),
        (HidesAsksInside, "test_no_call_is_made_while_a_resource_is_held", "held resource"),
        (RenamesFailures, "test_a_failed_call_stays_a_failed_call", "strange error"),
        (SwallowsCancellations, "test_a_cancelled_step_ends_at_once", "swallowed cancellation"),
        (LeavesTasks, "test_a_cancelled_step_ends_at_once", "task left behind"),
        (IgnoresProblems, "test_an_answer_that_a_check_sends_back_is_made_again", "wrong type"),
        (ReadsHigh, "test_any_answer_can_be_read", "`readable` has one of level 1"),
        (SolvesHigh, "test_any_answer_can_be_read", "`solutions` has one of level 2"),
        (ReadsNothing, "test_any_answer_can_be_read", "no Markdown"),
        (ChangesWhatItReads, "test_any_answer_can_be_read", "changed answer"),
        (QuestionsFail, EXPORTED, "at least 2 choices"),
        (NoCards, EXPORTED, "must return Card"),
        (OtherCardsEachTime, EXPORTED, "unstable"),
    ],
)
def test_a_step_with_a_fault_is_caught(made: type[Step], test: str, says: str) -> None:
    assert says in complaint(steps(made), test)


class GoodCheck(Check):
    """Removes links without https, and wants at least one."""

    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        await asyncio.sleep(1)
        assert isinstance(answer, Note)
        kept = [link for link in answer.links if link.startswith("https:")]
        mended = answer.model_copy(update={"links": kept})
        return Checked(mended, () if kept else ["at least one link must begin with https:"])


class AlarmsFalsely(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        return Checked(answer, ["I do not like it"])


class NeverRests(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        assert isinstance(answer, Note)
        return Checked(answer.model_copy(update={"text": answer.text + "!"}))


class SeesNothing(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        return Checked(answer)


class Raises(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        assert isinstance(answer, Note)
        return Checked(answer, [] if answer.links[0] else ["empty link"])


class ReturnsABareAnswer(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        return answer  # type: ignore[return-value]


class ReturnsAnotherModel(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        return Checked(Other())


class Breaks(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        return Checked(answer.model_copy(update={"text": "x" * 2000}))


class SaysNothing(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        assert isinstance(answer, Note)
        return Checked(answer, [] if answer.links else [" "])


class SaysLetters(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        assert isinstance(answer, Note)
        return Checked(answer, "" if answer.links else "no links")


class ChangesInPlace(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        assert isinstance(answer, Note)
        answer.links = [link for link in answer.links if link.startswith("https:")]
        return Checked(answer, () if answer.links else ["no links"])


class GoesOn(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1)
        return await super().check(answer, subject, ctx)


class ClosesOnce(GoodCheck):
    closed = False

    async def close(self) -> None:
        assert not self.closed
        self.closed = True


class AsksWhileItHolds(GoodCheck):
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        async with ctx.use("links"):
            return Checked(await ctx.ask([Message("user", "Is it good?")]))


def checks(made: type[Check]) -> type[CheckContract]:
    """What an author would write."""

    class Suite(CheckContract):
        finds = True

        def check(self) -> Check:
            return made()

        def good(self) -> Sequence[BaseModel]:
            return [Note(text="a note", links=["https://a.example"])]

        def bad(self) -> Sequence[BaseModel]:
            return [
                Note(text="mended", links=["https://a.example", "http://b.example"]),
                Note(text="sent back", links=[]),
            ]

        def answer(self, call: ModelCall) -> ModelReply:
            return Note(text="a note")

    return Suite


ANY = "test_any_answer_gets_a_result"


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        (AlarmsFalsely, "test_a_good_answer_passes", "false alarm"),
        (NeverRests, "test_a_good_answer_passes", "restless check"),
        (SeesNothing, "test_a_bad_answer_is_mended_or_sent_back", "blind check"),
        (Raises, ANY, "raised: `check` raised IndexError"),
        (ReturnsABareAnswer, ANY, "no result"),
        (ReturnsAnotherModel, ANY, "wrong type"),
        (Breaks, ANY, "broken answer"),
        (SaysNothing, ANY, "empty problem"),
        (SaysLetters, ANY, "no list"),
        (ChangesInPlace, ANY, "changed in place"),
        (GoesOn, "test_a_cancelled_check_ends_at_once", "swallowed cancellation"),
        (AsksWhileItHolds, "test_a_good_answer_passes", "held resource"),
    ],
)
def test_a_check_with_a_fault_is_caught(made: type[Check], test: str, says: str) -> None:
    assert says in complaint(checks(made), test)


def test_a_check_that_closes_once_only_is_caught() -> None:
    with pytest.raises(AssertionError):
        getattr(checks(ClosesOnce)(), "test_closing_twice_is_harmless")()  # noqa: B009


@pytest.mark.parametrize("suite", [steps(Good), checks(GoodCheck)])
def test_a_good_one_passes(suite: type[Contract]) -> None:
    for test in names_of(suite):
        getattr(suite(), test)()


def test_a_check_without_bad_answers_has_no_test_of_them() -> None:
    class Plain(CheckContract):
        pass

    assert "test_a_bad_answer_is_mended_or_sent_back" not in names_of(Plain)
    assert "test_a_bad_answer_is_mended_or_sent_back" in names_of(checks(GoodCheck))
