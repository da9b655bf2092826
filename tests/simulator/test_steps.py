"""The simulator's answers, checked by paceline's steps."""

from typing import Any

import pytest
from paceline import Step, UnusableAnswer
from paceline.steps.answers import parse_answer
from paceline.steps.quiz import Quiz
from paceline.steps.resources import Resources
from paceline.steps.templates import load_prompt
from paceline.steps.tutorial import Tutorial
from paceline.testing.virtual_time import real_time
from paceline_adapters.openai.schema import strict_schema

from tests.support.simulator_clients import simulator, wants

STEPS = [kind(load_prompt(kind.name)) for kind in (Tutorial, Resources, Quiz)]
#: Faults that make an answer unusable.
UNUSABLE = (
    "garbage",
    "wrong",
    "schema-invalid",
    "truncated",
    "no-finish",
    "empty",
    "ignore-schema",
)


@real_time
async def answers(step: Step, name: str, *, concepts: list[str], **options: Any) -> list[str]:
    """The simulator's answers for the step's schema."""
    schema = strict_schema(step.answer.model_json_schema())

    async with simulator(**options) as clients:
        found = [await clients.ask(f"Concept: {c}", **wants(name, schema)) for c in concepts]
        return [answer.choices[0].message.content or "" for answer in found]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_the_steps_accept_every_answer(step: Tutorial | Resources | Quiz) -> None:
    concepts = [f"Topic {number}" for number in range(30)] + ["并发编程", "C++ & <templates>"]
    for text in answers(step, step.name, concepts=concepts):
        parse_answer(step.answer, text)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@pytest.mark.parametrize("fault", UNUSABLE)
def test_the_steps_reject_unusable_answers(step: Tutorial | Resources | Quiz, fault: str) -> None:
    concepts = [f"Topic {number}" for number in range(5)]
    for text in answers(step, step.name, concepts=concepts, faults={fault: 1}):
        with pytest.raises(UnusableAnswer):
            parse_answer(step.answer, text)
