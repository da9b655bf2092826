"""The contract of steps: what is made for a concept, and from which prompt."""

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
    """The concept that a prompt is about, with its surroundings.

    Attributes:
        roadmap_id: id of the roadmap.
        roadmap_title: title of the roadmap.
        stage: name of the concept's stage.
        module: name of the concept's module.
        concept: the concept.
        prerequisites: names of the concepts that the learner knows already.
        language: language to write in, or ``auto``.
        earlier: answers of earlier steps for the concept, by step name.
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

    #: Model of the answer. Its JSON schema is sent along, and its validators check the answer.
    answer: ClassVar[type[BaseModel]]
    #: Maximum length of the answer, in tokens.
    max_tokens: ClassVar[int] = 4096

    @abstractmethod
    def prompt(self, subject: Subject) -> Sequence[Message]:
        """The messages to send; they must differ between concepts."""

    def readable(self, answer: BaseModel) -> str:
        """The answer as Markdown, for ``paceline show`` and ``paceline export``.

        Headings start at level 2; level 1 is the concept's name.
        """
        return outline(answer.model_dump(mode="json"))
