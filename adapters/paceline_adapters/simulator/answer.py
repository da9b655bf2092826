"""Makes the answer to one attempt, with its fault."""

import json
import random
from typing import cast

from paceline_adapters.simulator import seeded
from paceline_adapters.simulator.content import Writer
from paceline_adapters.simulator.faults import USABLE_FAULTS
from paceline_adapters.simulator.prose import Prose, concept_of
from paceline_adapters.simulator.schemas import (
    Schema,
    SchemaError,
    as_list,
    as_schema,
    check_strict,
    in_text,
    resolved,
)
from paceline_adapters.simulator.wire import Answer, ApiError, ChatRequest, estimate_tokens

#: Schema for JSON mode if the prompt contains no schema.
_ANY_JSON: Schema = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "summary": {"type": "string"}},
    "required": ["title", "summary"],
}
_NO_ARGUMENTS: Schema = {"type": "object", "properties": {}}
#: Rounds in which a request with tools is answered by tool calls.
TOOL_ROUNDS = 3


def requested_schema(request: ChatRequest) -> Schema | None:
    """The requested schema of the answer, or ``None`` for plain text.

    Raises:
        ApiError: strict mode was requested with a schema that OpenAI rejects.
    """
    sent = request.response_format and request.response_format.json_schema
    if request.format == "json_schema" and sent:
        schema = sent.shape or _ANY_JSON
        if sent.strict:
            try:
                check_strict(schema)
            except (SchemaError, RecursionError) as error:
                raise invalid_schema(sent.name, error) from error
        return schema
    return in_text(request.prompt()) or (_ANY_JSON if request.format == "json_object" else None)


def compose(
    request: ChatRequest,
    schema: Schema | None,
    *,
    seed: int,
    prompt: str,
    attempt: int,
    fault: str | None,
) -> Answer:
    """The answer to this attempt; it depends only on the arguments.

    Args:
        request: the request.
        schema: schema of the answer, if any.
        seed: seed of the content.
        prompt: hash of the prompt.
        attempt: number of earlier attempts at this prompt.
        fault: fault of the answer, if any.

    Raises:
        ApiError: the schema cannot be followed.
    """
    rng = seeded.generator(seed, "content", prompt, attempt)
    text = request.prompt()
    prose = Prose(rng, concept_of(text))
    usable = fault is None or fault in USABLE_FAULTS
    if request.tools and schema is None and usable:
        return _with_tools(request, rng, prose, prompt)
    refusal: str | None = None
    finish: str | None = "stop"
    content: str | None = None
    match fault:
        case "refusal":
            refusal = prose.refusal()
        case "empty":
            content = ""
        case "garbage":
            content = prose.garbage()
        case "ignore-schema":
            content = prose.markdown(1_000)
        case _:
            try:
                content = _content(schema, rng, prose, fault)
            except SchemaError as error:
                raise invalid_schema(request.schema_name or "schema", error) from error
    if fault in ("truncated", "no-finish") and content:
        finish = "length" if fault == "truncated" else None
        content = content[: len(content) // 2]
    tokens = estimate_tokens(content or refusal or "")
    limit = request.answer_limit
    cut = limit is not None and content is not None and tokens > limit
    if cut and limit is not None and content is not None:
        # Like a real model, stop in the middle of a word or of JSON.
        content = content.encode()[: limit * 4].decode(errors="ignore")
        tokens, finish = limit, "length"
    return Answer(
        content=content,
        refusal=refusal,
        finish=finish,
        prompt_tokens=estimate_tokens(text),
        completion_tokens=tokens,
        unusable=cut or (fault is not None and fault not in USABLE_FAULTS),
    )


def _with_tools(request: ChatRequest, rng: random.Random, prose: Prose, prompt: str) -> Answer:
    """Call a tool in each of the first rounds; then answer with one sentence.

    Raises:
        ApiError: the schema of the tool's arguments cannot be followed.
    """
    text = request.prompt()
    rounds = sum(
        bool((message.model_extra or {}).get("tool_calls")) for message in request.messages
    )
    if rounds >= TOOL_ROUNDS:
        content = prose.sentence()
        return Answer(
            content=content,
            prompt_tokens=estimate_tokens(text),
            completion_tokens=estimate_tokens(content),
        )
    tool = rng.choice(request.tools or []).function
    try:
        arguments = Writer(tool.parameters or _NO_ARGUMENTS, rng, prose).write()
    except SchemaError as error:
        raise invalid_schema(tool.name, error) from error
    written = json.dumps(arguments, ensure_ascii=False)
    function = {"name": tool.name, "arguments": written}
    return Answer(
        content=None,
        finish="tool_calls",
        prompt_tokens=estimate_tokens(text),
        completion_tokens=estimate_tokens(written),
        tool_calls=({"id": f"call_{prompt[:24]}", "type": "function", "function": function},),
    )


def _content(schema: Schema | None, rng: random.Random, prose: Prose, fault: str | None) -> str:
    if schema is None:
        return " " if fault == "wrong" else prose.markdown(prose.size)
    document = Writer(schema, rng, prose, wrong=fault == "wrong").write()
    if fault == "schema-invalid":
        document = _without_required(document, schema)
    return json.dumps(document, ensure_ascii=False)


def _without_required(document: object, schema: Schema) -> object:
    """The document without its required fields; a number if there are no required fields."""
    if not isinstance(document, dict):
        return 0
    fields = cast("dict[str, object]", document)
    required = as_list(as_schema(resolved(schema, schema)).get("required", []), "required")
    return {key: value for key, value in fields.items() if key not in required} if required else 0


def invalid_schema(name: str, error: Exception) -> ApiError:
    """The error for a schema that OpenAI or the simulator rejects."""
    return ApiError(
        400, f"Invalid schema for response_format '{name}': {error}", param="response_format"
    )
