"""The figures of a worker as JSON, in the column ``workers.figures``."""

from paceline.contracts.records import Figures
from pydantic import TypeAdapter, ValidationError

_figures = TypeAdapter(Figures)


def encoded(figures: Figures) -> str:
    """The figures as JSON."""
    return _figures.dump_json(figures).decode()


def decoded(text: str) -> Figures:
    """The figures from JSON; none if another version of paceline wrote them."""
    try:
        return _figures.validate_json(text)
    except ValidationError:
        return Figures()
