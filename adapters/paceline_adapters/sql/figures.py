"""The figures of a worker as JSON, in the column ``workers.figures``."""

from dataclasses import replace

from paceline.contracts.storage.records import Figures
from paceline.contracts.storage.timeline import OpenStep
from pydantic import TypeAdapter, ValidationError

_figures = TypeAdapter(Figures)
_steps = TypeAdapter(tuple[OpenStep, ...])


def encoded(figures: Figures) -> str:
    """The figures as JSON, without the open steps, which have a column of their own."""
    return _figures.dump_json(replace(figures, open_steps=())).decode()


def encoded_steps(steps: tuple[OpenStep, ...]) -> str | None:
    """Open steps as JSON; ``None`` for none."""
    return _steps.dump_json(steps).decode() if steps else None


def decoded_steps(text: str | None) -> tuple[OpenStep, ...]:
    """Open steps from JSON; none if another version of paceline wrote them."""
    try:
        return () if text is None else _steps.validate_json(text)
    except ValidationError:
        return ()


def decoded(text: str) -> Figures:
    """The figures from JSON; none if another version of paceline wrote them."""
    try:
        return _figures.validate_json(text)
    except ValidationError:
        return Figures()


def without_run(figures: Figures, run_id: str) -> Figures:
    """The figures without a run that was deleted."""
    return replace(
        figures,
        runs=tuple(one for one in figures.runs if one != run_id),
        trouble={one: why for one, why in figures.trouble.items() if one != run_id},
        in_flight={one: spent for one, spent in figures.in_flight.items() if one != run_id},
    )
