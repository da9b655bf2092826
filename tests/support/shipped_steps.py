"""The shipped steps, made as the pipeline makes them, and a subject for them."""

from pathlib import Path

from paceline.contracts.steps.step import Step, Subject
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.roadmaps.model import Concept
from paceline.settings.model import Settings
from paceline.steps.prompted import PromptedStep

STEPS = ("tutorial", "resources", "quiz")


def step(name: str, own: Path | None = None) -> PromptedStep:
    """The registered step of this name, optionally with a custom template."""
    plugins = Plugins()
    prompts = {} if own is None else {name: own}
    context = Context(settings=Settings(prompts=prompts))
    made: Step = plugins.step(name).make({}, context, f"steps.{name}")
    assert isinstance(made, PromptedStep)
    return made


CONCEPT = Concept(
    concept_id="c-lists",
    name="Lists",
    description="Ordered,\nmutable sequences.",
    estimated_hours=1.5,
    prerequisites=["c-variables"],
    difficulty="beginner",
    keywords=["append", "slice"],
)
SUBJECT = Subject(
    roadmap_id="r-python",
    roadmap_title="Learn Python",
    stage="Basics",
    module="Collections",
    concept=CONCEPT,
    prerequisites=["Variables"],
)
