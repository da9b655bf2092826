"""Questions and cards of a run, and their texts as HTML."""

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Generic, TypeVar

from paceline import Artifact, Card, ExportedConcept, ExportedRun, Question
from paceline.errors import UsageError

from paceline_adapters.markup import to_html, to_inline_html

ItemT = TypeVar("ItemT", Question, Card)

#: Characters that XML cannot hold; some of them separate the fields of an Anki note.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Generic[ItemT]):
    """A question or a card with its place.

    Attributes:
        concept: its concept.
        artifact: the artifact that it belongs to.
        number: its number in the artifact, counted from 1.
        item: the question or card.
    """

    concept: ExportedConcept
    artifact: Artifact
    number: int
    item: ItemT

    def key(self, run: ExportedRun) -> str:
        """An identifier that does not depend on the text: an edited question keeps it."""
        return key_of(
            run.roadmap.roadmap_id, self.artifact.concept_id, self.artifact.step, str(self.number)
        )


@dataclass(frozen=True, slots=True)
class Material:
    """The questions and cards of one concept."""

    concept: ExportedConcept
    questions: Sequence[Item[Question]]
    cards: Sequence[Item[Card]]

    @property
    def newest(self) -> datetime | None:
        """When the newest of their artifacts was saved."""
        artifacts = [one.artifact for one in self.questions]
        artifacts += [one.artifact for one in self.cards]
        times = [one.created_at for one in artifacts if one.created_at is not None]
        return max(times, default=None)


async def materials(run: ExportedRun) -> AsyncIterator[Material]:
    """Read the questions and cards of each concept that has some."""
    for concept in run.concepts:
        if not concept.steps:
            continue
        found = await run.artifacts(concept)
        questions: list[Item[Question]] = []
        cards: list[Item[Card]] = []
        for one in found:
            questions += _numbered(concept, one.artifact, one.questions)
            cards += _numbered(concept, one.artifact, one.cards)
        if questions or cards:
            yield Material(concept, questions, cards)


def nothing_to_write(run: ExportedRun, what: str) -> UsageError:
    """The error for a run without the questions or cards that a format needs."""
    if not run.made:
        return UsageError(f"run {run.run.run_id} has no content yet")
    steps = ", ".join(run.made)
    return UsageError(
        f"run {run.run.run_id} has no {what}: its content is from the steps {steps}, and none of "
        f"them returned {what}; the built-in step `quiz` returns questions"
    )


def key_of(*parts: str) -> str:
    """A short identifier of these texts: 20 hexadecimal digits."""
    joined = "\x00".join(parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def one_line(text: str) -> str:
    """A name without line breaks and control characters."""
    return " ".join(without_control(text).split()) or "-"


def without_control(text: str) -> str:
    """The text without characters that no format can hold."""
    return _CONTROL.sub("", text)


def block_html(markdown: str) -> str:
    """A text as HTML blocks; never empty."""
    text = without_control(markdown)
    return to_html(text).strip() or f"<p>{escape(text)}</p>"


def choice_html(markdown: str) -> str:
    """A choice as HTML: blocks if it holds a block of code, else inline."""
    text = without_control(markdown).strip()
    if "```" in text or "~~~" in text:
        return block_html(text)
    return to_inline_html(text).strip() or escape(text)


def _numbered(
    concept: ExportedConcept, artifact: Artifact, items: Sequence[ItemT]
) -> list[Item[ItemT]]:
    return [
        Item(concept=concept, artifact=artifact, number=number, item=item)
        for number, item in enumerate(items, 1)
    ]
