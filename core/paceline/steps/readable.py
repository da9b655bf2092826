"""An artifact as Markdown, by the step that made it."""

from json import JSONDecodeError, loads

from pydantic import BaseModel, ValidationError

from paceline.contracts.steps.step import Step
from paceline.text import outline


def readable(step: Step | None, name: str, content: str) -> tuple[str, str, BaseModel | None]:
    """The content of an artifact and its solutions as Markdown, and the answer if it fits.

    Args:
        step: the step, if it still exists.
        name: name of the step.
        content: the content as JSON text.
    """
    try:
        if step is not None:
            answer = step.answer.model_validate_json(content)
            return step.readable(answer), step.solutions(answer), answer
    except ValidationError:
        pass  # another version of the step made it; show the stored JSON
    return f"## {name}\n\n{outline(decoded(content), level=3)}", "", None


def decoded(content: str) -> object:
    """The content as decoded JSON, or as text if it is not JSON."""
    try:
        return loads(content)
    except JSONDecodeError:
        return content
