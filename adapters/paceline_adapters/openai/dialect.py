"""What a server understands, learned once per process and model from what it refuses.

Servers call themselves compatible and differ: in the name and size of the bound of an answer,
in the formats and roles that they accept. The best form is tried first. What a server refuses
by name is not tried again by this process. Such a refusal costs nothing and arrives at once, so
the call is asked again under the same permit.
"""

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import cast

from paceline import CompletionRequest, RequestTooLong
from paceline.contracts.provider import JsonSchema

from paceline_adapters.openai.error_words import Failure
from paceline_adapters.openai.messages import put_messages, put_tool, size_of
from paceline_adapters.openai.schema import BOUNDS, NotStrictError, strict_schema

log = logging.getLogger("paceline.provider")

Json = dict[str, object]


class Format(IntEnum):
    """How an answer's form is asked for, best first."""

    SCHEMA = 0
    """Strict structured outputs."""
    SCHEMA_WITHOUT_BOUNDS = 1
    """The same without bounds of numbers and lists, which some servers refuse."""
    SCHEMA_OPEN = 2
    """A schema without bounds and without ``additionalProperties``, not strict."""
    OBJECT = 3
    """Some JSON object; the schema stands in the prompt."""
    PROMPT = 4
    """The schema stands in the prompt, and nothing enforces it."""


#: Both names of the bound of an answer. Newer models of OpenAI refuse ``max_tokens``; many
#: other servers know nothing else.
OLD_BOUND, NEW_BOUND = "max_tokens", "max_completion_tokens"

#: Requests that one attempt may need until every refusal has been learned from.
MOST_REQUESTS = 6 + len(Format)
#: Tokens that remain free in a context: templates add some to the prompt.
SPARE = 32
#: Fewer tokens than this are no answer.
LEAST = 128

_ABOUT_FORMAT = re.compile(
    r"response[_ ]?(?:format|schema)|json[_ ]?schema|json[_ ]?object|structured[_ ]output|guided"
    r"|grammar|\bschema\b|additional_?properties"
)
_NOT_KNOWN = re.compile(
    r"unsupported|not support|n't support|unrecogni[sz]ed|unknown|unexpected|not permitted"
    r"|not allowed|extra inputs|extra fields|invalid (?:parameter|argument)|deprecated"
)
_SYSTEM = re.compile(
    r"system.{0,9}(?:role|message|instruction|prompt).{0,60}(?:not|n't|un)"
    r"|(?:not|n't).{0,30}system.{0,9}(?:role|message|instruction|prompt)"
    r"|developer instruction is not enabled"
)
_WINDOW = re.compile(
    r"(?:context (?:length|window|size)|n_ctx|maximum (?:sequence|input|model) length"
    r"|max_model_len)\D{0,30}(\d{3,7})"
)
_PROMPT = re.compile(
    r"n_prompt_tokens\D{1,5}(\d+)|prompt contains \D{0,15}(\d+)|request \((\d+) tokens"
    r"|(\d+)\s(?:tokens\s)?(?:in|of|from) (?:the |your )?(?:messages|prompt|text input|input)"
)
_RANGE = re.compile(
    r"\[\s*\d\s*,\s*(\d+)\s*\]|between \d+ and (\d+)"
    r"|(?:at most|up to|maximum|less than or equal to|<=|no more than|not exceed|limit)"
    r"\D{0,40}(\d+)"
)


@dataclass(frozen=True, slots=True)
class Said:
    """How one request was put, to learn from its refusal.

    Attributes:
        step: the step.
        bound: name of the bound that we chose; ``None`` if the settings set it.
        tokens: the bound.
        form: the format.
        told: whether the prompt contains the schema.
        system: whether a message has the role ``system``.
        fields: names of the other fields.
    """

    step: str
    bound: str | None
    tokens: int
    form: Format | None
    told: bool
    system: bool
    fields: frozenset[str]


@dataclass(slots=True)
class _Step:
    schema: JsonSchema
    form: Format
    formats: dict[Format, str | None]
    heeded: int = 0
    ignored: int = 0

    @property
    def told(self) -> bool:
        """Whether the prompt contains the schema: nothing enforces it, or the server ignores it."""
        return self.form >= Format.OBJECT or self.ignored > self.heeded


class Dialect:
    """How requests are put to one server.

    Args:
        model: the model to ask.
        newest: whether the server is OpenAI's own.
        temperature: sampling temperature, or the model's own.
        extra: fields to add to each request.

    Attributes:
        cap: the largest bound of an answer that the server accepts, if it is known.
        window: tokens of prompt and answer together, if the server named its limit.
    """

    def __init__(
        self,
        model: str,
        *,
        newest: bool,
        temperature: float | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        # Some gateways stream unless they are asked not to.
        self._fixed: Json = {"model": model, "stream": False, **(extra or {})}
        if temperature is not None:
            self._fixed["temperature"] = temperature
        self._bounds = [NEW_BOUND, OLD_BOUND] if newest else [OLD_BOUND, NEW_BOUND]
        self._steps: dict[str, _Step] = {}
        self._system = True
        self._temperature = True
        self._tokens_per_estimate = 1.0
        self.cap: int | None = None
        self.window: int | None = None

    def put(self, request: CompletionRequest) -> tuple[bytes, Said]:
        """The body of a request as JSON, and how it was put.

        Raises:
            RequestTooLong: the prompt leaves no room for an answer.
        """
        body = dict(self._fixed)
        if request.temperature is not None and self._temperature:
            body["temperature"] = request.temperature
        messages = put_messages(request.messages, system=self._system)
        body["messages"] = messages
        if request.tools:
            body["tools"] = [put_tool(tool) for tool in request.tools]
        step = None if request.schema is None else self._step(request.step, request.schema)
        if step is not None and step.told and request.schema is not None:
            _tell(messages, request.schema)
        given = next((name for name in (NEW_BOUND, OLD_BOUND) if name in body), None)
        bound = None
        tokens = body[given] if given is not None else self._fitting(request, messages)
        if given is None:
            bound = self._bounds[0]
            body[bound] = tokens
        said = Said(
            step=request.step,
            bound=bound,
            tokens=tokens if isinstance(tokens, int) else request.max_tokens,
            form=None if step is None else step.form,
            told=step is not None and step.told,
            system=any(message["role"] == "system" for message in messages),
            fields=frozenset(body),
        )
        text = _encoded(body)
        form = None if step is None else step.formats[step.form]
        if form is not None:
            # A schema is longer than a prompt and the same in each call: it is encoded once.
            text = f'{text[:-1]},"response_format":{form}}}'
        return text.encode(), said

    def highest(self, prompt_tokens: int) -> int | None:
        """The largest bound of an answer that makes sense, if a limit is known."""
        limits = [] if self.cap is None else [self.cap]
        if self.window is not None:
            limits.append(max(0, self.window - prompt_tokens - SPARE))
        return min(limits, default=None)

    def note_window(self, tokens: int) -> None:
        """An answer ended because prompt and answer together had that many tokens."""
        if self.window is None or tokens < self.window:
            self.window = tokens

    def learn(self, said: Said, failure: Failure, request: CompletionRequest) -> bool:
        """Learn from a refused request.

        Args:
            said: how it was put.
            failure: what the server answered; only its own words.
            request: what was asked.

        Returns:
            Whether to ask again, in another form.
        """
        text = failure.search
        # A model's wrong answer is no lack of the server.
        if failure.status not in (400, 404, 422, 500, 501) or "json_validate_failed" in text:
            return False
        return (
            self._learn_bound_name(said, text)
            or self._learn_window(said, text, request)
            or self._learn_cap(said, text)
            or self._learn_fields(said, text)
            or self._learn_format(said, text)
        )

    def _learn_bound_name(self, said: Said, text: str) -> bool:
        if said.bound is None or said.bound not in text or not _NOT_KNOWN.search(text):
            return False
        if self._bounds[0] != said.bound:
            return True  # a call beside this one has learned it meanwhile
        if len(self._bounds) > 1:
            del self._bounds[0]
            return True
        return False

    def _learn_window(self, said: Said, text: str, request: CompletionRequest) -> bool:
        found = _WINDOW.search(text)
        if found is None:
            return False
        known = self.window
        self.note_window(int(found[1]))
        estimate = request.estimated_prompt_tokens()
        needed = next((int(n) for m in _PROMPT.finditer(text) for n in m.groups() if n), 0)
        if estimate and needed > estimate * self._tokens_per_estimate:
            self._tokens_per_estimate = needed / estimate
        elif known == self.window:
            self._tokens_per_estimate *= 1.25  # our count of the prompt is too small
        room = int(found[1]) - estimate * self._tokens_per_estimate - SPARE
        return room < said.tokens and self._tokens_per_estimate < 8.0

    def _learn_cap(self, said: Said, text: str) -> bool:
        if said.bound is None or not re.search(r"max_(?:\w+_)?tokens", text):
            return False
        numbers = [int(n) for m in _RANGE.finditer(text) for n in m.groups() if n]
        cap = min((number for number in numbers if number > 0), default=None)
        if cap is None or cap >= said.tokens:
            return False
        self.cap = cap if self.cap is None else min(cap, self.cap)
        return True

    def _learn_fields(self, said: Said, text: str) -> bool:
        if said.system and _SYSTEM.search(text):
            self._system = False
            return True
        if "enable_thinking" in text and "false" in text and "enable_thinking" not in said.fields:
            self._fixed["enable_thinking"] = False
            return True
        refused = _NOT_KNOWN.search(text) or "only" in text or "default" in text
        if "temperature" in said.fields and "temperature" in text and refused:
            if self._fixed.pop("temperature", None) is not None or self._temperature:
                self._temperature = False
                log.warning(
                    "the model %s refuses provider.temperature: paceline leaves it out",
                    self._fixed["model"],
                )
            return True
        return False

    def _learn_format(self, said: Said, text: str) -> bool:
        step = self._steps.get(said.step)
        if step is None or said.form in (None, Format.PROMPT) or not _ABOUT_FORMAT.search(text):
            return False
        if step.form is said.form:
            step.form = _next(step.form, text)
            while step.form not in step.formats:
                step.form = Format(step.form + 1)
        return True

    def notice(self, request: CompletionRequest, said: Said, answer: str) -> None:
        """Look at an answer: was the schema heeded, or silently ignored?

        If it is ignored, the model has never seen it. The prompt then contains it, from the
        first such answer on, unless most answers show that it was an accident.
        """
        step = self._steps.get(said.step)
        if request.schema is None or step is None or said.told:
            return
        required = cast("Sequence[object]", request.schema.get("required") or ())
        text = answer.strip()
        bare = text.startswith("{") and text.endswith("}")
        if bare and all(json.dumps(name) in text for name in required):
            step.heeded += 1
        else:
            step.ignored += 1

    def _fitting(self, request: CompletionRequest, messages: Sequence[Json]) -> int:
        tokens = request.max_tokens if self.cap is None else min(request.max_tokens, self.cap)
        if self.window is None:
            return tokens
        size = sum(size_of(message) for message in messages)
        prompt = math.ceil(size / 4 * self._tokens_per_estimate)
        room = self.window - prompt - SPARE
        if room < LEAST:
            raise RequestTooLong(
                f"the prompt needs about {prompt} of the {self.window} tokens of the context of "
                f"{self._fixed['model']}; use a model or server with a larger context"
            )
        return min(tokens, room)

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
        strict = [strict_schema(schema, bounds=bounds) for bounds in (True, False)]
    except NotStrictError:
        return formats
    described: Json = {"name": re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "answer"}
    for form, shown, more in (
        (Format.SCHEMA, strict[0], {"strict": True}),
        (Format.SCHEMA_WITHOUT_BOUNDS, strict[1], {"strict": True}),
        (Format.SCHEMA_OPEN, _open(strict[1]), {}),
    ):
        schema_format: Json = {**described, "schema": shown, **more}
        formats[form] = _encoded({"type": "json_schema", "json_schema": schema_format})
    return formats


def _open(value: object) -> object:
    if isinstance(value, dict):
        fields = cast("Json", value)
        return {key: _open(one) for key, one in fields.items() if key != "additionalProperties"}
    if isinstance(value, list):
        return [_open(one) for one in cast("list[object]", value)]
    return value


def _encoded(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _next(form: Format, text: str) -> Format:
    """What to try after a refusal in these words, which are lower case."""
    if form < Format.SCHEMA_OPEN and re.search(r"additional_?properties", text):
        return Format.SCHEMA_OPEN
    if form is Format.SCHEMA and any(word.lower() in text for word in BOUNDS):
        return Format.SCHEMA_WITHOUT_BOUNDS
    # Not the keywords: the server accepts no schema, or not this one.
    return Format.PROMPT if form is Format.OBJECT else Format.OBJECT


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
