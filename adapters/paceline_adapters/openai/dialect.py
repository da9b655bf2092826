"""Which words of the API a server understands, learned from what it refuses.

Servers call themselves compatible and differ: in how they are told the longest answer, and
in whether they take a JSON schema. Both are tried in the order of their worth; what a server
refuses by name is not tried again by this process. Such a refusal costs nothing and comes at
once, so the call is asked again under the same permit.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import cast

from paceline import CompletionRequest
from paceline.contracts.provider import JsonSchema

from paceline_adapters.openai.schema import BOUNDS, NotStrictError, strict_schema

Json = dict[str, object]


class Format(IntEnum):
    """How an answer's form is asked for, best first."""

    SCHEMA = 0
    """Strict structured outputs."""
    SCHEMA_WITHOUT_BOUNDS = 1
    """The same without bounds of numbers and lists, which some servers refuse."""
    OBJECT = 2
    """Some JSON object; the schema stands in the prompt."""
    PROMPT = 3
    """The schema stands in the prompt, and nothing enforces it."""


#: Both names of the bound of an answer. Newer models of OpenAI refuse ``max_tokens``; many
#: other servers know nothing else.
OLD_BOUND, NEW_BOUND = "max_tokens", "max_completion_tokens"

#: Requests that one attempt may need until every refusal has been learned from.
MOST_REQUESTS = 2 + len(Format)

_ABOUT_FORMAT = re.compile(
    r"response[_ ]?format|json[_ ]?schema|json[_ ]?object|structured[_ ]output|guided|grammar"
    r"|\bschema\b"
)
_NOT_KNOWN = re.compile(
    r"unsupported|not support|n't support|unrecogni[sz]ed|unknown|unexpected|not permitted"
    r"|not allowed|extra inputs|extra fields|invalid (?:parameter|argument)|deprecated"
)


@dataclass(frozen=True, slots=True)
class Said:
    """How one request was put, to learn from its refusal."""

    step: str
    bound: str | None
    form: Format | None
    told: bool


@dataclass(slots=True)
class _Step:
    schema: JsonSchema
    form: Format
    formats: dict[Format, str | None]
    heeded: int = 0
    ignored: int = 0

    @property
    def told(self) -> bool:
        """Whether the prompt tells the schema: nothing enforces it, or the server ignores it."""
        return self.form >= Format.OBJECT or self.ignored > self.heeded


class Dialect:
    """How requests are put to one server.

    Args:
        model: the model to ask.
        newest: whether the server is OpenAI's own.
        temperature: sampling temperature, or the model's own.
        extra: fields to add to each request.
    """

    def __init__(
        self,
        model: str,
        *,
        newest: bool,
        temperature: float | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        self._fixed: Json = {"model": model, **(extra or {})}
        if temperature is not None:
            self._fixed["temperature"] = temperature
        self._bounds = [NEW_BOUND, OLD_BOUND] if newest else [OLD_BOUND, NEW_BOUND]
        self._steps: dict[str, _Step] = {}

    def put(self, request: CompletionRequest) -> tuple[bytes, Said]:
        """The body of a request as JSON, and how it was put."""
        body = dict(self._fixed)
        bound = None
        if OLD_BOUND not in body and NEW_BOUND not in body:
            bound = self._bounds[0]
            body[bound] = request.max_tokens
        messages: list[Json] = [
            {"role": message.role, "content": message.content} for message in request.messages
        ]
        body["messages"] = messages
        if request.schema is None:
            return _encoded(body).encode(), Said(request.step, bound, None, told=False)
        step = self._step(request.step, request.schema)
        if step.told:
            _tell(messages, request.schema)
        text, form = _encoded(body), step.formats[step.form]
        if form is not None:
            # A schema is longer than a prompt and the same in each call: it is encoded once.
            text = f'{text[:-1]},"response_format":{form}}}'
        return text.encode(), Said(request.step, bound, step.form, step.told)

    def learn(self, said: Said, status: int, text: str) -> bool:
        """Learn from a refused request.

        Args:
            said: how it was put.
            status: the HTTP status.
            text: what the server said.

        Returns:
            Whether to ask again, in other words.
        """
        if status not in (400, 404, 422, 501):
            return False
        text = text.lower()
        if said.bound is not None and said.bound in text and _NOT_KNOWN.search(text):
            if self._bounds[0] != said.bound:
                return True  # a call beside this one has learned it meanwhile
            if len(self._bounds) > 1:
                del self._bounds[0]
                return True
            return False
        step = self._steps.get(said.step)
        if step is None or said.form in (None, Format.PROMPT) or not _ABOUT_FORMAT.search(text):
            return False
        if step.form is said.form:
            step.form = _next(step.form, text)
        return True

    def notice(self, request: CompletionRequest, said: Said, answer: str, *, bare: bool) -> None:
        """Look at an answer: was the schema heeded, or silently ignored?

        Where it is ignored the model has never seen it; the prompt then tells it, from the
        first such answer on, unless most answers show that it was an accident.

        Args:
            request: what was asked.
            said: how.
            answer: the JSON of the answer, as far as there is one.
            bare: whether the answer was nothing but this JSON.
        """
        step = self._steps.get(said.step)
        if request.schema is None or step is None or said.told:
            return
        required = cast("Sequence[object]", request.schema.get("required") or ())
        if bare and all(json.dumps(name) in answer for name in required):
            step.heeded += 1
        else:
            step.ignored += 1

    def _step(self, name: str, schema: JsonSchema) -> _Step:
        step = self._steps.get(name)
        if step is None or (step.schema is not schema and step.schema != schema):
            formats = _formats(name, schema)
            step = _Step(schema, min(formats), formats)
            self._steps[name] = step
        return step


def _formats(name: str, schema: JsonSchema) -> dict[Format, str | None]:
    formats: dict[Format, str | None] = {
        Format.OBJECT: _encoded({"type": "json_object"}),
        Format.PROMPT: None,
    }
    try:
        for form, bounds in ((Format.SCHEMA, True), (Format.SCHEMA_WITHOUT_BOUNDS, False)):
            described: Json = {
                "name": re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "answer",
                "schema": strict_schema(schema, bounds=bounds),
                "strict": True,
            }
            formats[form] = _encoded({"type": "json_schema", "json_schema": described})
    except NotStrictError:
        pass
    return formats


def _encoded(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _next(form: Format, text: str) -> Format:
    """What to try after a refusal in these words, which are lower case."""
    if form is Format.SCHEMA and not any(word.lower() in text for word in BOUNDS):
        return Format.OBJECT  # not the bounds: it takes no schema, or not this one
    return Format(form + 1)


def _tell(messages: list[Json], schema: JsonSchema) -> None:
    text = (
        "Answer with one JSON object, and nothing else, that follows this JSON schema:\n"
        + json.dumps(schema, ensure_ascii=False)
    )
    # At the end, so that the prompt begins alike with and without it: providers cache
    # beginnings. In a message that is there: some models' templates take no further one.
    if messages and messages[-1]["role"] == "user":
        messages[-1] = {"role": "user", "content": f"{messages[-1]['content']}\n\n{text}"}
    else:
        messages.append({"role": "user", "content": text})
