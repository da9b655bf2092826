"""Steps whose prompt is a template and the facts about the concept."""

from collections.abc import Sequence
from string import Template
from typing import ClassVar

from paceline.contracts.provider import Message
from paceline.contracts.step import Step, Subject
from paceline.steps.facts import facts, placeholders


class PromptedStep(Step):
    """A step that says how to write once, and about what for each concept.

    The template is the system's message. The shipped ones hold no placeholder, so that a
    provider which caches the beginnings of prompts finds the same one in every call; the
    facts about the concept follow in the user's message.

    Args:
        template: how to write; see ``paceline.steps.templates``.
    """

    #: What the settings call it.
    name: ClassVar[str]

    def __init__(self, template: Template) -> None:
        self._template = template

    def prompt(self, subject: Subject) -> Sequence[Message]:
        """The template, then the facts."""
        values = placeholders(subject, self.name)
        return (
            Message("system", self._template.substitute(values)),
            Message("user", facts(values)),
        )
