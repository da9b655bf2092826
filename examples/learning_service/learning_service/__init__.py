"""A learning-content service: its three generators as steps of paceline."""

from paceline import NoOptions, Options, Register, Step, hookimpl
from pydantic import Field, HttpUrl


class SearchOptions(Options):
    """Options of the steps that search."""

    search_url: HttpUrl = HttpUrl("http://127.0.0.1:8090/search")
    """Address of the search API; its quota is that of ``[resources.search]``."""
    rounds: int = Field(default=5, ge=1, le=20)
    """Maximum number of rounds in which the model may search."""


@hookimpl
def paceline_register_steps(register: Register[Step]) -> None:
    """Register the generators; ``steps.NAME.use`` lets them replace the built-in ones."""
    from learning_service import steps
    from learning_service.search import Researcher

    register(
        "tutorial",
        lambda options, _: steps.Tutorial(Researcher(options.search_url, options.rounds)),
        options=SearchOptions,
        summary="A tutorial from current sources, in the learner's languages.",
    )
    register(
        "resources",
        lambda options, _: steps.Resources(Researcher(options.search_url, options.rounds)),
        options=SearchOptions,
        summary="What to read next, chosen from search results.",
    )
    register(
        "quiz",
        lambda _options, _: steps.Quiz(),
        options=NoOptions,
        summary="Questions on what the tutorial says.",
    )
