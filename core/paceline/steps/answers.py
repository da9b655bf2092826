"""From the text of an answer to its model."""

from collections.abc import Collection

from pydantic import BaseModel, ValidationError

from paceline.errors import UnusableAnswer
from paceline.steps.json_text import first_opening, objects, only_thoughts
from paceline.steps.junk import echoes
from paceline.steps.normalisations import mend
from paceline.validation import describe

#: Maximum number of characters of an answer; a step's ``max_tokens`` stays far below.
MAX_CHARS = 2 * 2**20
#: Maximum number of problems to report: a model that did this much wrong starts anew anyway.
SHOWN = 20
#: Objects of one text that are compared with the model.
_TRIES = 8


def parse_answer(model: type[BaseModel], text: str, *, ids: Collection[str] = ()) -> BaseModel:
    """Check an answer against its model.

    The JSON is taken out of thoughts, fences and prose first: of several objects, the last one
    that fits. Slips that leave no doubt are mended; see ``normalisations``.

    Args:
        model: what the answer must be.
        text: what the model wrote.
        ids: ids that the prompt contains; an answer that only repeats them is refused.

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
        answer = _parsed(model, raw.decode())
    except ValidationError as error:
        if only_thoughts(kept):
            raise UnusableAnswer("empty", "it contains thoughts and no answer", "") from None
        raise UnusableAnswer("malformed", _problems(error), kept) from None
    except RecursionError:
        raise UnusableAnswer("malformed", "it is nested too deeply", kept) from None
    if ids and (echo := echoes(answer, ids)) is not None:
        raise UnusableAnswer(
            "malformed", f"it repeats {echo!r} from the prompt instead of a text about it", kept
        )
    return answer


def _parsed(model: type[BaseModel], text: str) -> BaseModel:
    bare = text.strip()
    failed: ValidationError | None = None
    if bare.startswith("{") and bare.endswith("}"):
        # The usual case, and the fast one.
        try:
            return model.model_validate_json(bare)
        except ValidationError as error:
            failed = error
    best: ValidationError | None = None
    for count, value in enumerate(objects(text)):
        if count == _TRIES:
            break
        try:
            return mend(model, value)
        except ValidationError as error:
            # Of several objects that do not fit, the one that is nearest.
            if best is None or error.error_count() < best.error_count():
                best = error
    if best is not None:
        raise best
    if failed is not None:
        raise failed
    return model.model_validate_json(first_opening(text))


def _problems(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        return str(faults[0]["msg"])
    lines = describe(error)
    if len(lines) > SHOWN:
        lines = [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"]
    return "; ".join(lines)
