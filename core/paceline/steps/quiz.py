"""The built-in step ``quiz``."""

from collections.abc import Iterable, Sequence
from string import ascii_uppercase
from typing import Annotated, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from paceline.contracts.steps import questions
from paceline.steps.junk import check_loop, without_repeats
from paceline.steps.prompted import PromptedStep
from paceline.steps.text import Answer, Text, written
from paceline.text import item, plain


def _indexes(value: object) -> object:
    """A single index as a list: models write both for one right answer."""
    return cast("object", value) if isinstance(value, list) else [value]


Index = Annotated[int, Field(ge=0, strict=True)]
#: Kept unchanged: an option may be code with significant line breaks.
Option = Annotated[str, Field(max_length=1000), AfterValidator(written)]


class Question(Answer):
    """A multiple-choice question."""

    question: Text
    """The question; it can be understood without the options."""
    options: Annotated[list[Option], Field(min_length=2, max_length=10)]
    """What to choose from; no two alike, without letters or numbers in front."""
    answer: Annotated[list[Index], BeforeValidator(_indexes), Field(min_length=1, max_length=10)]
    """Positions of all right options, counted from 0: one, or several if several are right."""
    explanation: Text
    """Why the right options are right and the others are not."""
    difficulty: Literal["easy", "medium", "hard"]
    """How hard the question is."""

    @field_validator("options")
    @classmethod
    def _options_differ(cls, options: list[str]) -> list[str]:
        # Case matters: the difference between `List` and `list` may be the question.
        twice = next((option for option in options if options.count(option) > 1), None)
        if twice is not None:
            raise PydanticCustomError(
                "options",
                "must differ from each other, but {twice} occurs twice",
                {"twice": repr(twice[:60])},
            )
        return options

    @field_validator("answer")
    @classmethod
    def _answers_exist(cls, answer: list[int], info: ValidationInfo) -> list[int]:
        options = cast("list[str] | None", info.data.get("options"))
        if options is not None and max(answer) >= len(options):
            raise PydanticCustomError(
                "answer_range",
                "must hold positions from 0 to {last}, because there are {count} options",
                {"last": len(options) - 1, "count": len(options)},
            )
        if len(set(answer)) < len(answer):
            raise PydanticCustomError("answer_twice", "must name each right option once")
        return answer


def _differ(questions: list[Question]) -> list[Question]:
    check_loop("the question", [one.question for one in questions])
    return without_repeats(questions)


class QuizAnswer(Answer):
    """A quiz on one concept."""

    questions: Annotated[
        list[Question], Field(min_length=1, max_length=30), AfterValidator(_differ)
    ]
    """The questions, easiest first."""


class Quiz(PromptedStep):
    """Tests what the reader has understood."""

    name = "quiz"
    answer = QuizAnswer
    max_tokens = 4000

    def readable(self, answer: BaseModel) -> str:
        """The questions with their options, without a hint at the right ones."""
        if not isinstance(answer, QuizAnswer):
            return super().readable(answer)
        parts = ["## Quiz"]
        for number, one in enumerate(answer.questions, 1):
            parts += [
                f"### Question {number} ({one.difficulty})",
                plain(one.question),
                _listed(one, range(len(one.options))),
            ]
        return "\n\n".join(parts)

    def solutions(self, answer: BaseModel) -> str:
        """The right options of each question, and why they are right."""
        if not isinstance(answer, QuizAnswer):
            return super().solutions(answer)
        parts: list[str] = []
        for number, one in enumerate(answer.questions, 1):
            parts += [
                f"### Question {number}",
                _listed(one, sorted(one.answer)),
                f"*Why:* {plain(one.explanation)}",
            ]
        return "\n\n".join(parts)

    def questions(self, answer: BaseModel) -> Sequence[questions.Question]:
        """The questions of the quiz."""
        if not isinstance(answer, QuizAnswer):
            return ()
        return [
            questions.Question(
                text=one.question,
                choices=one.options,
                right=sorted(one.answer),
                explanation=one.explanation,
            )
            for one in answer.questions
        ]


def _listed(question: Question, places: Iterable[int]) -> str:
    """The options at these positions as a list, each with its letter."""
    return "\n".join(
        item(plain(question.options[place]), f"- ({ascii_uppercase[place]})") for place in places
    )
