"""The built-in step ``tutorial``."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from paceline.steps.junk import adds_words, check_loop, without_repeats
from paceline.steps.prompted import PromptedStep
from paceline.steps.text import Answer, Line, Markdown, Text
from paceline.text import item, plain


class Section(Answer):
    """A part of a tutorial."""

    title: Line
    """Heading of the section, without numbering."""
    content: Markdown
    """The section's text in Markdown, without the heading."""
    kind: Literal["introduction", "explanation", "example", "pitfalls", "summary"]
    """What the section does for the reader."""


def _differ(sections: list[Section]) -> list[Section]:
    check_loop("the title", [one.title for one in sections])
    sections = without_repeats(sections)
    check_loop("the content", [one.content for one in sections], often=2)
    for section in sections:
        if not adds_words(section.content, section.title):
            raise PydanticCustomError(
                "repeated",
                "must say more in the section {title} than its title",
                {"title": repr(section.title[:60])},
            )
    return sections


def _exercises_differ(exercises: list[str]) -> list[str]:
    check_loop("the text", exercises)
    return without_repeats(exercises)


class TutorialAnswer(Answer):
    """A tutorial on one concept."""

    title: Line
    """Title of the tutorial."""
    summary: Text
    """What the reader will know at the end, in two or three sentences."""
    sections: Annotated[list[Section], Field(min_length=1, max_length=20), AfterValidator(_differ)]
    """The tutorial itself, in reading order."""
    exercises: Annotated[
        list[Text], Field(min_length=1, max_length=20), AfterValidator(_exercises_differ)
    ]
    """Tasks for the reader, easiest first, each complete in itself."""
    minutes: Annotated[int, Field(ge=1, le=600)]
    """Minutes that reading and the exercises take."""


class Tutorial(PromptedStep):
    """Explains a concept from the ground up."""

    name = "tutorial"
    builds_on = ()
    answer = TutorialAnswer
    max_tokens = 6000

    def readable(self, answer: BaseModel) -> str:
        """Title, sections and exercises."""
        if not isinstance(answer, TutorialAnswer):
            return super().readable(answer)
        parts = [f"## {plain(answer.title)}", answer.summary, f"*{answer.minutes} minutes*"]
        for section in answer.sections:
            parts += [f"### {plain(section.title)}", section.content]
        exercises = (item(text, f"{n}.") for n, text in enumerate(answer.exercises, 1))
        return "\n\n".join([*parts, "### Exercises", "\n".join(exercises)])
