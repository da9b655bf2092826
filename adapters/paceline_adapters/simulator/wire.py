"""OpenAI's wire format: reads requests, writes answers and errors."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Json = dict[str, Any]


class ApiError(Exception):
    """A request that is answered with an error, in OpenAI's format."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body: Json = {
            "error": {"message": message, "type": kind, "param": param, "code": code}
        }


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")

    type: str
    text: str = ""


class _Message(BaseModel):
    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or ())


class _JsonSchema(BaseModel):
    model_config = ConfigDict(extra="allow", serialize_by_alias=True)

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    shape: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class _ResponseFormat(BaseModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None


class _Function(BaseModel):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    parameters: dict[str, Any] = Field(default_factory=dict[str, Any])


class _Tool(BaseModel):
    type: Literal["function"]
    function: _Function


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request for a completion; parameters without effect here are ignored."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[_Message], Field(min_length=1)]
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    response_format: _ResponseFormat | None = None
    tools: list[_Tool] | None = None
    metadata: dict[str, str] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = 1

    @property
    def format(self) -> str:
        """``text``, ``json_object`` or ``json_schema``."""
        return self.response_format.type if self.response_format else "text"

    @property
    def schema_name(self) -> str | None:
        """Name of the schema in the request."""
        sent = self.response_format and self.response_format.json_schema
        return sent.name if sent else None

    @property
    def answer_limit(self) -> int | None:
        """Maximum length of the answer in tokens, if the request sets one."""
        return self.max_completion_tokens or self.max_tokens

    def prompt(self) -> str:
        """All messages as one text."""
        return "\n".join(message.text for message in self.messages)

    def identity(self) -> tuple[str, str]:
        """The model with all messages, and with the messages up to the first user message.

        The second text is the same for a prompt and its repairs: a repair repeats the prompt and
        adds the model's answer and its problems.
        """
        messages = [message.model_dump(mode="json") for message in self.messages]
        roles = [message.role for message in self.messages]
        first_turn = messages[: roles.index("user") + 1] if "user" in roles else messages
        return _dumps([self.model, messages]), _dumps([self.model, first_turn])


def read_request(body: bytes) -> ChatRequest:
    """Read the body of a request.

    Raises:
        ApiError: the body is not JSON, or OpenAI would reject it.
    """
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        location = ".".join(map(str, fault["loc"]))
        if not location:
            raise ApiError(
                400, f"We could not parse the JSON body of your request. {fault['msg']}"
            ) from None
        raise ApiError(400, f"Invalid '{location}': {fault['msg']}.", param=location) from None
    if request.format == "json_schema" and request.schema_name is None:
        location = "response_format.json_schema"
        raise ApiError(400, f"Missing required parameter: '{location}'.", param=location)
    if request.stream_options and not request.stream:
        raise ApiError(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    if request.format == "json_object" and "json" not in request.prompt().lower():
        raise ApiError(
            400,
            "'messages' must contain the word 'json' in some form, to use 'response_format' "
            "of type 'json_object'.",
            param="messages",
        )
    return request


def estimate_tokens(text: str) -> int:
    """Estimate tokens as four bytes of UTF-8 each."""
    return -(-len(text.encode()) // 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The model's answer to one attempt.

    Attributes:
        content: its text; ``None`` for a refusal.
        finish: the ``finish_reason``.
        tool_calls: tools to call, in OpenAI's form.
        unusable: whether a fault or the token limit made it unusable.
    """

    content: str | None
    refusal: str | None = None
    finish: str | None = "stop"
    prompt_tokens: int
    completion_tokens: int
    tool_calls: tuple[Json, ...] = ()
    unusable: bool = False

    @property
    def usage(self) -> Json:
        """The ``usage`` object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields around an answer."""

    id: str
    model: str
    created: int
    rest: Json = field(default_factory=lambda: {"service_tier": "default"})

    def _around(self, kind: str, **fields: object) -> bytes:
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return _dumps({**head, **fields, **self.rest}).encode()

    def complete(self, answer: Answer) -> bytes:
        """The body of a response that is not streamed."""
        message: Json = {
            "role": "assistant",
            "content": answer.content,
            "refusal": answer.refusal,
            "annotations": [],
        }
        if answer.tool_calls:
            message["tool_calls"] = list(answer.tool_calls)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
        return self._around("chat.completion", choices=[choice], usage=answer.usage)

    def chunks(self, answer: Answer, *, size: int, usage: bool) -> Iterator[bytes]:
        """The events of an answer streamed in chunks of ``size`` characters, without ``[DONE]``."""
        key, text = (
            ("refusal", answer.refusal) if answer.refusal else ("content", answer.content or "")
        )
        first = {"role": "assistant", "content": "", "refusal": None}
        deltas: list[Json] = [first]
        deltas += [
            {"tool_calls": [{"index": place, **call}]}
            for place, call in enumerate(answer.tool_calls)
        ]
        deltas += [{key: text[at : at + size]} for at in range(0, len(text), size)]
        for delta in deltas:
            yield self._event(delta, None, usage)
        if answer.finish is not None:
            yield self._event({}, answer.finish, usage)
        if usage:
            yield _sse(self._around("chat.completion.chunk", choices=[], usage=answer.usage))

    def _event(self, delta: Json, finish: str | None, usage: bool) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        # With include_usage, every chunk except the last has `usage: null`.
        extra = {"usage": None} if usage else {}
        return _sse(self._around("chat.completion.chunk", choices=[choice], **extra))


DONE = b"data: [DONE]\n\n"


def _sse(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def model_card(name: str) -> Json:
    """One model in the format of ``/v1/models``."""
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "paceline"}


def unknown_model(name: str) -> ApiError:
    """The error for an unknown model."""
    return ApiError(
        404,
        f"The model `{name}` does not exist or you do not have access to it.",
        param="model",
        code="model_not_found",
    )


def _dumps(value: object) -> str:
    return json.dumps(cast("Any", value), separators=(",", ":"))
