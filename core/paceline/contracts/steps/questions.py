"""Questions and flashcards that a step's answer holds, in a form that belongs to no format."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A multiple-choice question. All texts are Markdown.

    Attributes:
        text: the question.
        choices: what to choose from, at least two.
        right: positions of all right choices, counted from 0.
        explanation: why these choices are right; may be empty.

    Raises:
        ValueError: a text is blank, or ``right`` does not fit the choices.
    """

    text: str
    choices: Sequence[str]
    right: Sequence[int]
    explanation: str = ""

    def __post_init__(self) -> None:
        """Check the question: an export must not lose a right choice in silence."""
        if not self.text.strip() or not all(choice.strip() for choice in self.choices):
            raise ValueError("the text of a question and its choices must not be blank")
        if len(self.choices) < 2:
            raise ValueError(f"a question must have at least 2 choices, got {len(self.choices)}")
        places = set(self.right)
        known = set(range(len(self.choices)))
        if not places or len(places) < len(self.right) or not places <= known:
            raise ValueError(
                f"right must name each right choice once, from 0 to {len(self.choices) - 1}, "
                f"got {list(self.right)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A flashcard. Both sides are Markdown.

    Attributes:
        front: what the learner sees first.
        back: what the learner should remember.

    Raises:
        ValueError: a side is blank.
    """

    front: str
    back: str

    def __post_init__(self) -> None:
        """Check that both sides have a text."""
        if not self.front.strip() or not self.back.strip():
            raise ValueError("the front and the back of a card must not be blank")
