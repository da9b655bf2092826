"""From the body of an answer to a completion."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from paceline import (
    Completion,
    CompletionRequest,
    ProviderUnusable,
    ToolCall,
    Transient,
    UnusableAnswer,
)
from paceline.contracts.provider import estimated_tokens

from paceline_adapters.openai.dialect import Dialect, Said
from paceline_adapters.openai.error_words import read_failure
from paceline_adapters.openai.failures import of_failure
from paceline_adapters.openai.finish_reasons import Finish, meaning
from paceline_adapters.openai.messages import read_tool_calls
from paceline_adapters.openai.ratelimits import ratelimits
from paceline_adapters.openai.server import Server

#: Maximum number of characters of names and ids that are passed on.
_SHOWN = 200

#: Where servers report tokens, best first.
_PROMPT_TOKENS = ("prompt_tokens", "input_tokens", "promptTokens", "inputTokens", "prompt_token_count", "promptTokenCount", "prompt_eval_count")  # fmt: skip  # noqa: E501
_ANSWER_TOKENS = ("completion_tokens", "output_tokens", "completionTokens", "outputTokens", "candidates_token_count", "candidatesTokenCount", "eval_count")  # fmt: skip  # noqa: E501
_ALL_TOKENS = ("total_tokens", "totalTokens", "total_token_count", "totalTokenCount")
_REASONING = ("reasoning_content", "reasoning", "thinking")

Json = Mapping[str, object]
#: A cost of one call that is not less is no cost.
_DEAREST = 10_000


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that an answer was charged.

    Attributes:
        prompt: tokens of the prompt.
        answer: tokens of the answer, thoughts included.
        estimated: whether the server did not report them.
        cached: tokens of the prompt that were read from the server's cache.
        cost: what the server says that the call cost, in its own currency.
    """

    prompt: int
    answer: int
    estimated: bool = False
    cached: int = 0
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class AnswerReader:
    """Reads the answer to one request.

    Attributes:
        request: what was asked.
        said: how it was put.
        dialect: what is known about the server.
        server: the server.
    """

    request: CompletionRequest
    said: Said
    dialect: Dialect
    server: Server

    def read(self, raw: bytes, headers: Mapping[str, str]) -> Completion:
        """Read an answer of status 200.

        Raises:
            UnusableAnswer: it contains no whole answer of the model.
            ProviderError: it is an error in the clothes of an answer.
        """
        answer = self._decode(raw, headers)
        choices = answer.get("choices")
        choice = _mapping(next(iter(_list(choices)), None))
        message = _mapping(choice.get("message"))
        usage = _usage(answer, self.request, message)
        if not choices and _is_error(answer):
            raise of_failure(read_failure(200, answer, headers, self.request), headers, self.server)
        if not message:
            raise UnusableAnswer(
                "unreadable", "the server's answer contains no message of the model"
            ).charge(usage.prompt, usage.answer, estimated=usage.estimated)
        calls: tuple[ToolCall, ...] = ()
        text = _text(message.get("content")) if self.request.tools else _text_of(message)
        try:
            if self.request.tools:
                calls = read_tool_calls(message)
            if not calls:
                self._check(choice, message, text, headers, usage)
        except UnusableAnswer as error:
            raise error.charge(usage.prompt, usage.answer, estimated=usage.estimated) from None
        model, request_id = answer.get("model"), headers.get("x-request-id") or answer.get("id")
        return Completion(
            text=text,
            model=model[:_SHOWN] if isinstance(model, str) and model else self.server.model,
            prompt_tokens=usage.prompt,
            completion_tokens=usage.answer,
            estimated=usage.estimated,
            cached_prompt_tokens=usage.cached,
            cost=usage.cost,
            tool_calls=calls,
            request_id=request_id[:_SHOWN] if isinstance(request_id, str) else "",
            rate_limit_headers=ratelimits(headers),
        )

    def _decode(self, raw: bytes, headers: Mapping[str, str]) -> Json:
        if not raw.strip():
            raise Transient(f"{self.server.address} sent an empty answer")
        if raw.lstrip()[:1] == b"<":
            page = raw.decode("utf-8", "replace")
            raise of_failure(read_failure(200, page, headers, self.request), headers, self.server)
        try:
            body = decoded(raw)
        except (ValueError, RecursionError) as error:
            encoding = headers.get("content-encoding", "identity")
            if encoding not in ("identity", "gzip", "deflate"):
                raise ProviderUnusable(
                    f"{self.server.address} sent an answer with the content-encoding {encoding!r}, "
                    "although paceline accepts none; check the proxy in front of the API"
                ).charge(self.request.estimated_prompt_tokens(), 0, estimated=True) from None
            # It arrived and was paid: to ask for it many times would cost as often.
            raise UnusableAnswer(
                "unreadable", f"the server sent a broken answer: {self.server.quote(str(error))}"
            ).charge(
                self.request.estimated_prompt_tokens(), len(raw) // 4, estimated=True
            ) from None
        if isinstance(body, list):
            body = next(iter(cast("list[object]", body)), None)
        if not isinstance(body, dict):
            raise UnusableAnswer("unreadable", "the server's answer is not an object")
        return cast("Json", body)

    def _check(
        self, choice: Json, message: Json, text: str, headers: Mapping[str, str], usage: Usage
    ) -> None:
        if error := choice.get("error"):
            failure = read_failure(200, {"error": error}, headers, self.request)
            raise of_failure(failure, headers, self.server)
        refusal = message.get("refusal")
        if refusal:
            raise UnusableAnswer("refusal", self.server.quote(_text(refusal)))
        reason = choice.get("finish_reason")
        empty = not text.strip()
        whole = not empty and (self.request.schema is None or is_object(text))
        match meaning(reason, whole=whole, empty=empty):
            case Finish.REFUSED:
                raise UnusableAnswer(
                    "refusal",
                    f"the server's filter stopped the answer ({self.server.quote(str(reason))})",
                    self.server.mask(text),
                )
            case Finish.TRUNCATED:
                raise self._truncated(text, usage)
            case Finish.TRANSIENT:
                failed = Transient(
                    f"{self.server.address}: the answer ended with the finish reason {reason!r}"
                )
                if not usage.estimated:  # a failure is charged if the server reports a usage
                    failed.charge(usage.prompt, usage.answer, estimated=False)
                raise failed
            case Finish.STOP if empty:
                raise UnusableAnswer("empty", "the model wrote nothing")
            case _:
                pass

    def _truncated(self, text: str, usage: Usage) -> UnusableAnswer:
        bound, said = self.said.tokens, self.said
        # It ended before the bound of the answer: the context was full.
        full = not usage.estimated and usage.answer < 0.9 * bound
        if full:
            self.dialect.note_window(usage.prompt + usage.answer)
        highest = self.dialect.highest(usage.prompt)
        if len(text) > 1000 and len(text.split()) * 20 < len(text):
            advice = f"{self.server.model} writes blanks without end: use another model"
        elif full or (self.dialect.window is not None and bound < self.request.max_tokens):
            advice = (
                f"prompt and answer fill the context of {self.dialect.window} tokens: use a model "
                "or server with a larger one"
            )
        elif self.dialect.cap is not None and bound >= self.dialect.cap:
            advice = (
                f"{self.server.model} writes at most {bound} tokens: use another model, or raise "
                "its max_tokens if you set it"
            )
        elif said.bound is None:
            highest = bound
            advice = f"raise max_tokens in providers.openai.body above {bound}"
        else:
            advice = f"raise steps.{self.request.step}.max_tokens above {bound}"
        return UnusableAnswer(
            "truncated",
            f"the context was full after {usage.answer} tokens"
            if full
            else f"it reached the longest answer allowed ({bound} tokens)",
            self.server.mask(text),
            advice=advice,
            highest=highest,
        )


def decoded(raw: bytes) -> object:
    """The JSON of an answer, also if it was streamed or ends with ``data: [DONE]``.

    Raises:
        ValueError: there is no JSON.
    """
    try:
        return cast("object", json.loads(raw))
    except UnicodeDecodeError:
        raise
    except ValueError:
        text = raw.decode().strip()
        if text.startswith(("data:", "event:", "id:", ":")):
            return _joined(text)
        value, end = cast("tuple[object, int]", json.JSONDecoder().raw_decode(text))
        if text[end:].replace("data:", "").replace("[DONE]", "").strip():
            raise
        return value


def _joined(stream: str) -> Json:
    """Server-sent events as one answer.

    Raises:
        ValueError: an event is not JSON, or the stream has no event.
    """
    parts: list[str] = []
    thoughts: list[str] = []
    answer: dict[str, object] = {}
    reason: object = None
    for line in stream.splitlines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or not data or data == "[DONE]":
            continue
        chunk = _mapping(json.loads(data))
        answer.update({key: value for key, value in chunk.items() if value and key != "choices"})
        choice = _mapping(next(iter(_list(chunk.get("choices"))), None))
        delta = _mapping(choice.get("delta")) or _mapping(choice.get("message"))
        parts.append(_text(delta.get("content")))
        thoughts.append(next((_text(delta[key]) for key in _REASONING if delta.get(key)), ""))
        reason = choice.get("finish_reason") or reason
    if not answer:
        raise ValueError("the stream of events is empty")
    message = {"content": "".join(parts), "reasoning_content": "".join(thoughts)}
    if any(parts) or any(thoughts) or reason:
        answer["choices"] = [{"message": message, "finish_reason": reason}]
    return answer


def models_in(raw: bytes) -> list[str]:
    """Names in a list of models; none if it is no such list.

    Raises:
        ValueError: it is not JSON.
    """
    entries = _mapping(json.loads(raw)).get("data")
    names = [_mapping(entry).get("id") for entry in _list(entries)]
    return [name[:_SHOWN] for name in names if isinstance(name, str)]


def is_object(text: str) -> bool:
    """Whether a text ends with a whole JSON object, perhaps in a fence."""
    bare = text.strip().removesuffix("```").rstrip()
    if not bare.endswith("}"):
        return False
    try:
        json.loads(bare[max(bare.find("{"), 0) :])
    except (ValueError, RecursionError):
        return False
    return True


def _is_error(answer: Json) -> bool:
    return (
        any(answer.get(key) for key in ("error", "error_msg", "error_code", "base_resp", "errors"))
        or answer.get("object") == "error"
        or (
            "choices" not in answer and any(answer.get(key) for key in ("message", "detail", "msg"))
        )
    )


def _text_of(message: Json) -> str:
    """What the model wrote, wherever the server puts it."""
    text = _text(message.get("content"))
    if text.strip():
        return text
    calls = _list(message.get("tool_calls"))
    call = _mapping(calls[0]) if len(calls) == 1 else message
    function = _mapping(call.get("function")) or _mapping(call.get("function_call"))
    arguments = _text(function.get("arguments"))
    if arguments.strip():
        return arguments
    # Some servers put the answer of a model without thoughts there. Thoughts with a draft
    # among them are no answer.
    for key in _REASONING:
        bare = _text(message.get(key)).strip()
        if bare.startswith("{") and is_object(bare):
            return bare
    return text


def _text(content: object) -> str:
    """The text of a message, also if a server sends it in parts or as an object."""
    if isinstance(content, list):
        parts = [_mapping(part) for part in _list(cast("object", content))]
        texts = [part.get("text") for part in parts if part.get("type") != "thinking"]
        content = "".join(text for text in texts if isinstance(text, str))
    if isinstance(content, dict):
        content = json.dumps(content, ensure_ascii=False)
    if not isinstance(content, str):
        return ""
    # JSON can spell half of a surrogate pair, which nothing can store or send.
    return content.encode("utf-8", "replace").decode()


def _usage(answer: Json, request: CompletionRequest, message: Json) -> Usage:
    usage = _mapping(answer.get("usage")) or _mapping(answer.get("usageMetadata"))
    prompt = next((n for key in _PROMPT_TOKENS if (n := _count(usage.get(key)))), 0)
    written = next((n for key in _ANSWER_TOKENS if (n := _count(usage.get(key)))), 0)
    total = next((n for key in _ALL_TOKENS if (n := _count(usage.get(key)))), 0)
    if prompt:
        # Some servers leave thoughts out of the answer, but not out of the total.
        return Usage(
            prompt, max(written, total - prompt), cached=_cached(usage, prompt), cost=_cost(usage)
        )
    text = _text(message.get("content")) + "".join(_text(message.get(key)) for key in _REASONING)
    text = text or _text_of(message)
    if not message:
        return Usage(0, written)
    return Usage(
        request.estimated_prompt_tokens(), written or estimated_tokens(text), estimated=True
    )


def _cached(usage: Json, prompt: int) -> int:
    details = _mapping(usage.get("prompt_tokens_details"))
    for value in (details.get("cached_tokens"), usage.get("prompt_cache_hit_tokens")):
        if found := _count(value):
            return min(found, prompt)
    return 0


def _cost(usage: Json) -> float | None:
    """The cost that routers such as OpenRouter report, in US dollars."""
    cost = usage.get("cost")
    if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < _DEAREST:
        return float(cost)
    return None


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 < value < 2**31 else 0


def _mapping(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []
