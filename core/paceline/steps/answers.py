"""From the text of an answer to its model."""

import json
import re
from typing import cast

from pydantic import BaseModel, ValidationError

from paceline.contracts.step import Step
from paceline.errors import UnusableAnswer
from paceline.validation import describe

#: Characters of an answer at most; a step's ``max_tokens`` stays far below.
MAX_CHARS = 2 * 2**20
#: Problems told at most: a model that did this much wrong starts anew anyway.
SHOWN = 20
#: Places tried at most in a text that is no JSON by itself.
_TRIES = 32

_OPENING = re.compile(r'\{(?=\s*["}])')
_decoder = json.JSONDecoder()


def parse_answer(step: Step, text: str) -> BaseModel:
    """Check an answer against the model of its step.

    JSON in a fenced block, or with prose around it, is taken out first.

    Raises:
        UnusableAnswer: ``empty`` or ``malformed``, with every problem in words that a model
            can act on, and the text as it came.
    """
    # The text is kept with the failure, and databases hold neither surrogates nor NUL.
    raw = text.encode("utf-8", "replace")
    kept = raw.decode().replace("\x00", "␀")
    if len(text) > MAX_CHARS:
        raise UnusableAnswer(
            "malformed",
            f"it has {len(text)} characters, at most {MAX_CHARS} are allowed",
            kept[:MAX_CHARS],
        )
    if not text.strip():
        raise UnusableAnswer("empty", "the answer holds no text", kept)
    try:
        return step.answer.model_validate_json(bare_json(raw.decode()))
    except ValidationError as error:
        raise UnusableAnswer("malformed", _problems(error), kept) from None
    except RecursionError:
        raise UnusableAnswer("malformed", "it is nested too deeply", kept) from None


def bare_json(text: str) -> str:
    """The JSON object in a text that may wrap it in a fence, thoughts or prose.

    Returns:
        The object's text; where there is none, the text itself, so that whoever parses it
        can say what is wrong with it.
    """
    text = text.strip().removeprefix("\ufeff")
    if text.startswith("<think>"):
        text = text.partition("</think>")[2].strip()
    if text.startswith("{") and text.endswith("}"):
        return text
    # A fence proves nothing: tutorials hold fences of their own inside their strings. So the
    # object is found by decoding from the first brace that can open one.
    first: str | None = None
    for count, opening in enumerate(_OPENING.finditer(text)):
        if count == _TRIES:
            break
        start = opening.start()
        try:
            _, end = cast("tuple[object, int]", _decoder.raw_decode(text, start))
        except (ValueError, RecursionError):
            first = text[start:] if first is None else first
            # A whole object inside a broken one is a part of the answer, not the answer.
            if text[:start].rstrip().endswith(("json", "```")) or start == 0:
                break
        else:
            return text[start:end]
    return text if first is None else first


def _problems(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        return str(faults[0]["msg"])
    lines = describe(error)
    if len(lines) > SHOWN:
        lines = [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"]
    return "; ".join(lines)
