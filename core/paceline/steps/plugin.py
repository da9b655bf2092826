"""The built-in steps, registered through the same hook as those of plugins."""

from collections.abc import Callable

from paceline.contracts.options import NoOptions
from paceline.contracts.steps.step import Step
from paceline.plugins.context import Context
from paceline.plugins.hookspecs import Register, hookimpl
from paceline.steps.prompted import PromptedStep
from paceline.steps.quiz import Quiz
from paceline.steps.resources import Resources
from paceline.steps.templates import load_prompt
from paceline.steps.tutorial import Tutorial

_SUMMARIES: dict[type[PromptedStep], str] = {
    Tutorial: "A tutorial with sections in Markdown and exercises.",
    Resources: "What to read, watch and try, with addresses.",
    Quiz: "Multiple-choice questions with explanations.",
}


@hookimpl
def paceline_register_steps(register: Register[Step]) -> None:
    """Register tutorial, resources and quiz."""
    for kind, summary in _SUMMARIES.items():
        register(kind.name, _factory(kind), options=NoOptions, summary=summary)


def _factory(kind: type[PromptedStep]) -> Callable[[NoOptions, Context], Step]:
    def make(options: NoOptions, context: Context) -> Step:  # noqa: ARG001
        settings = context.settings
        own = settings.step(kind.name).prompt or settings.prompts.get(kind.name)
        step = kind(load_prompt(kind.name, own))
        if settings.run.parallel_steps:
            step.needs = [name for name in kind.builds_on if name in settings.run.steps]
        return step

    return make
