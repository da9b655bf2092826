"""The three generators."""

from dataclasses import dataclass
from typing import Annotated, Self

from paceline import Step, StepContext, Subject
from pydantic import BaseModel, Field, StringConstraints, model_validator

from learning_service.prompts import prompt
from learning_service.search import Researcher

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Section(BaseModel):
    """A part of a tutorial."""

    title: Text
    content: Text = Field(description="Markdown, without the heading.")


class TutorialAnswer(BaseModel):
    """A tutorial on one concept."""

    title: Text
    summary: Text
    sections: list[Section] = Field(min_length=1)


class Resource(BaseModel):
    """One thing to read or watch."""

    title: Text
    url: str = Field(pattern=r"^https?://\S+$")
    why: Text = Field(description="What this learner gets from it.")


class ResourcesAnswer(BaseModel):
    """What to read next."""

    resources: list[Resource] = Field(min_length=1, max_length=10)


class Question(BaseModel):
    """A question with one right option."""

    question: Text
    options: list[Text] = Field(min_length=2, max_length=6)
    answer: int = Field(ge=0, description="Position of the right option, counted from 0.")
    explanation: Text

    @model_validator(mode="after")
    def _answer_exists(self) -> Self:
        if self.answer >= len(self.options):
            raise ValueError(f"answer must be below {len(self.options)}, the number of options")
        return self


class QuizAnswer(BaseModel):
    """A quiz on one concept."""

    questions: list[Question] = Field(min_length=1, max_length=20)


@dataclass(frozen=True)
class Tutorial(Step):
    """Searches, then writes."""

    researcher: Researcher
    answer = TutorialAnswer
    max_tokens = 6000

    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        """Research the concept, and write a tutorial from what was found."""
        task = prompt("research", subject, purpose="explain the concept")
        sources = await self.researcher.research(task, ctx)
        ctx.tell(f"writing the tutorial from {len(sources)} sources")
        return await ctx.ask(prompt("tutorial", subject, sources=sources))


@dataclass(frozen=True)
class Resources(Step):
    """Searches, then chooses. The check ``links`` sends dead addresses back."""

    researcher: Researcher
    answer = ResourcesAnswer
    max_tokens = 2000

    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        """Search for further reading, and choose from it."""
        task = prompt("research", subject, purpose="learn more after a first tutorial")
        sources = await self.researcher.research(task, ctx)
        tutorial = subject.earlier["tutorial"]
        return await ctx.ask(prompt("resources", subject, tutorial=tutorial, sources=sources))


class Quiz(Step):
    """One call: the tutorial is the only source."""

    answer = QuizAnswer
    max_tokens = 4000

    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        """Ask about what the tutorial says."""
        return await ctx.ask(prompt("quiz", subject, tutorial=subject.earlier["tutorial"]))
