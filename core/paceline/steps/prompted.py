"""Steps with a prompt made of a template and the facts about the concept."""

from collections.abc import Sequence
from typing import ClassVar

from paceline.contracts.provider import Message
from paceline.contracts.steps.step import Step, Subject
from paceline.steps.facts import facts, placeholders
from paceline.steps.templates import Prompt


class PromptedStep(Step):
    """A step that sends a template as system message and the concept's facts as user message.

    The built-in templates contain no placeholder. So every call begins with the same prompt,
    and providers that cache prompt prefixes can reuse it.

    Args:
        prompt: how to write; see ``paceline.steps.templates``.
    """

    #: Name of the step in the settings.
    name: ClassVar[str]
    #: What it needs with ``run.parallel_steps``.
    builds_on: ClassVar[Sequence[str]] = ("tutorial",)

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def template(self) -> str:
        """The source of the template."""
        return self._prompt.source

    def prompt(self, subject: Subject) -> Sequence[Message]:
        """The template, then the facts."""
        values = placeholders(subject, self.name)
        return (
            Message("system", self._prompt.text(subject, values)),
            Message("user", facts(values)),
        )
