"""The contract of steps: what is made for a concept, from which prompt."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel

from paceline.contracts.provider import Message
from paceline.roadmaps.model import Concept
from paceline.text import outline


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a prompt is about.

    Attributes:
        roadmap_id: the roadmap.
        roadmap_title: its title.
        stage: name of the concept's stage.
        module: name of the concept's module.
        concept: the concept.
        prerequisites: names of the concepts that the reader knows.
        language: language to write in, or ``auto``.
        earlier: what earlier steps made for the concept, by step name.
    """

    roadmap_id: str
    roadmap_title: str
    stage: str
    module: str
    concept: Concept
    prerequisites: Sequence[str] = ()
    language: str = "auto"
    earlier: Mapping[str, BaseModel] = field(default_factory=dict[str, BaseModel])


class Step(ABC):
    """One kind of content."""

    #: Model of the answer; its JSON schema is sent along and its validators check the rest.
    answer: ClassVar[type[BaseModel]]
    #: Bound of the answer, tokens.
    max_tokens: ClassVar[int] = 4096

    @abstractmethod
    def prompt(self, subject: Subject) -> Sequence[Message]:
        """The messages to send; never the same for two concepts."""

    def readable(self, answer: BaseModel) -> str:
        """The answer as Markdown, for ``paceline show`` and ``paceline export``.

        Headings begin at the second level; the first is the concept's.
        """
        return outline(answer.model_dump(mode="json"))
