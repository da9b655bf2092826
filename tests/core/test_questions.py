"""Questions and cards that steps return for export formats."""

from collections.abc import Sequence

import pytest
from paceline import Card, Question


@pytest.mark.parametrize(
    ("text", "choices", "right", "fault"),
    [
        (" ", ["a", "b"], [0], "must not be blank"),
        ("Why?", ["a", ""], [0], "must not be blank"),
        ("Why?", ["a"], [0], "at least 2 choices, got 1"),
        ("Why?", ["a", "b"], [], r"from 0 to 1, got \[\]"),
        ("Why?", ["a", "b"], [2], r"from 0 to 1, got \[2\]"),
        ("Why?", ["a", "b"], [-1], r"from 0 to 1, got \[-1\]"),
        ("Why?", ["a", "b"], [1, 1], r"from 0 to 1, got \[1, 1\]"),
    ],
)
def test_a_question_that_no_learner_could_answer_is_an_error(
    text: str, choices: Sequence[str], right: Sequence[int], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        Question(text=text, choices=choices, right=right)


@pytest.mark.parametrize("sides", [("", "back"), ("front", "\n")])
def test_a_card_with_a_blank_side_is_an_error(sides: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="must not be blank"):
        Card(front=sides[0], back=sides[1])
