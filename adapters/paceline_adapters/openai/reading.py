"""From the body of an answer to a completion."""

import json
from collections.abc import Mapping
from typing import cast

from paceline import Completion, CompletionRequest, UnusableAnswer
from paceline.steps.answers import bare_json

from paceline_adapters.openai.faults import of_status
from paceline_adapters.openai.ratelimits import ratelimits
from paceline_adapters.openai.server import Server

#: Characters that are passed on of what a server sends along.
_SHOWN = 200

Json = Mapping[str, object]


def read_answer(raw: bytes, headers: Mapping[str, str], server: Server) -> Completion:
    """Read an answer of status 200.

    Raises:
        UnusableAnswer: it holds no whole answer of the model.
        ProviderError: it is an error in the clothes of an answer.
        ValueError: it is not JSON.
    """
    body: object = json.loads(raw)
    if not isinstance(body, dict):
        raise UnusableAnswer("malformed", "the server's answer is not an object")
    answer = cast("Json", body)
    error, choices = answer.get("error"), answer.get("choices")
    if error and not choices:
        raise of_status(_status_in(error), error, headers, server)
    choice = _mapping(next(iter(_list(choices)), None))
    message = _mapping(choice.get("message"))
    if not message:
        raise UnusableAnswer("malformed", "the server's answer holds no message of the model")
    text = _text(message.get("content"))
    _check(message, choice.get("finish_reason"), text, server)
    usage = _mapping(answer.get("usage"))
    model, request_id = answer.get("model"), headers.get("x-request-id") or answer.get("id")
    return Completion(
        text=text,
        model=model[:_SHOWN] if isinstance(model, str) and model else server.model,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        request_id=request_id[:_SHOWN] if isinstance(request_id, str) else "",
        rate_limit_headers=ratelimits(headers),
    )


def models_in(raw: bytes) -> list[str]:
    """Names in a list of models; none where it is no such list.

    Raises:
        ValueError: it is not JSON.
    """
    entries = _mapping(json.loads(raw)).get("data")
    names = [_mapping(entry).get("id") for entry in _list(entries)]
    return [name[:_SHOWN] for name in names if isinstance(name, str)]


def json_of(request: CompletionRequest, text: str) -> str:
    """The answer's text; only its JSON object where a schema was asked for."""
    return text if request.schema is None else bare_json(text)


def _check(message: Json, reason: object, text: str, server: Server) -> None:
    refusal = message.get("refusal")
    if refusal or reason == "content_filter":
        said = _text(refusal) if refusal else "the server's content filter stopped the answer"
        raise UnusableAnswer("refusal", server.quote(said), server.mask(text))
    if reason == "length":
        raise UnusableAnswer(
            "truncated", "it reached the longest answer allowed", server.mask(text)
        )
    if not reason:
        raise UnusableAnswer("truncated", "it ended without a reason", server.mask(text))
    if not text.strip():
        raise UnusableAnswer("empty", "the model wrote nothing")


def _text(content: object) -> str:
    """The text of a message, also where a server sends it in parts."""
    if isinstance(content, list):
        parts = [_mapping(part).get("text") for part in _list(cast("object", content))]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        return ""
    # JSON can spell half of a surrogate pair, which nothing can store or send.
    return content.encode("utf-8", "replace").decode()


def _status_in(error: object) -> int:
    code = _mapping(error).get("code")
    if isinstance(code, str) and code.isdecimal():
        code = int(code[:4])
    return code if isinstance(code, int) and 400 <= code <= 599 else 500


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 < value < 2**31 else 0


def _mapping(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []
