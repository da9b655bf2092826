"""The server's own words in an error: from whatever form it has, without an echo of the request."""

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import cast

from paceline import CompletionRequest

#: Maximum number of seconds that a server can ask to wait.
MAX_RETRY_AFTER = 24 * 3600.0

#: Fields that hold the message, best first.
_MESSAGES = ("message", "error_msg", "status_msg", "msg", "error", "base_resp", "detail", "errors")
#: Fields that hold a short code.
_CODES = ("code", "type", "status", "param", "error_code", "status_code", "reason", "quotaId")
#: Fields with numbers that some servers report beside the message.
_NUMBERS = ("n_ctx", "n_prompt_tokens")
#: Shortest line of a prompt that is looked for in an error.
_ECHO = 8

_DURATION = re.compile(
    r"(\d+(?:\.\d+)?)\s*(milliseconds?|ms|seconds?|sec|s|minutes?|min|m|hours?|h|days?|d)(?![a-z])"
)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_WAIT = re.compile(
    r"(?:again|retry|wait|reset)\w*\s+(?:in|after|for)\s+((?:\d+(?:\.\d+)?\s*[a-z]+\s*)+)"
)
_TAGS = re.compile(r"<(title|h1)[^>]*>(.*?)(?:</\1>|$)", re.IGNORECASE | re.DOTALL)

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that a server answered, reduced to what decides.

    Attributes:
        status: the HTTP status, or the one that the body gives in its place.
        text: the server's words.
        search: its codes and words in lower case, without an echo of the request.
        retry_after: seconds that it asks to wait.
        inside: whether the error came with status 200.
        html: whether it is a web page.
        location: where a redirect leads.
        answer: a text of the model that the error quotes.
    """

    status: int
    text: str
    search: str
    retry_after: float | None = None
    inside: bool = False
    html: bool = False
    location: str = ""
    answer: str = ""


def read_failure(
    status: int,
    body: object,
    headers: Mapping[str, str],
    request: CompletionRequest | None = None,
) -> Failure:
    """Read an error.

    Args:
        status: the HTTP status.
        body: the decoded JSON, or text.
        headers: headers with names in lower case.
        request: what was asked; its text in the error decides nothing.
    """
    inside = status < 300
    if isinstance(body, list):
        body = next(iter(cast("list[object]", body)), "")
    html = isinstance(body, str) and body.lstrip()[:1] == "<"
    layers = list(_layers(body))
    text = _page(str(body)) if html else _message(body)
    codes = [str(layer[key]) for layer in layers for key in _CODES if _is_code(layer.get(key))]
    codes += [f"{key} {layer[key]}" for layer in layers for key in _NUMBERS if key in layer]
    if inside:
        numbers = [int(code[:4]) for code in codes if code.isdecimal()]
        status = next((number for number in numbers if 400 <= number <= 599), status)
    search = without_echo(" ".join([*codes, text]), request).lower()
    quoted = (layer.get("failed_generation") for layer in layers)
    return Failure(
        status=status,
        text=without_echo(text, request),
        search=search,
        retry_after=_wait(headers, layers, search),
        inside=inside,
        html=html,
        location=headers.get("location", ""),
        answer=next((text for text in quoted if isinstance(text, str)), ""),
    )


def without_echo(text: str, request: CompletionRequest | None) -> str:
    """The text without the lines of the prompt that it repeats."""
    if request is None:
        return text
    for message in request.messages:
        if len(message.content) >= _ECHO:
            text = text.replace(message.content, "…")
        for line in message.content.splitlines():
            line = line.strip()  # noqa: PLW2901
            # Also the value alone: `Concept: NAME` is echoed as NAME.
            for part in (line, line.partition(": ")[2]):
                if len(part) >= _ECHO and part in text:
                    text = text.replace(part, "…")
    return text


def _layers(body: object, depth: int = 0) -> Iterator[Json]:
    """The objects that describe the error, outermost first; never the request's echo."""
    if not isinstance(body, dict) or depth > 4:
        return
    fields = cast("Json", body)
    yield fields
    for key in ("error", "base_resp", "detail", "metadata", "details", "violations", "errors"):
        inner = fields.get(key)
        for one in cast("list[object]", inner) if isinstance(inner, list) else [inner]:
            yield from _layers(one, depth + 1)


def _message(body: object, depth: int = 0) -> str:
    if isinstance(body, str):
        return body.strip()
    if isinstance(body, list):
        parts = (_message(one, depth + 1) for one in cast("list[object]", body)[:5])
        return "; ".join(part for part in parts if part)
    if not isinstance(body, dict) or depth > 4:
        return ""
    fields = cast("Json", body)
    text = next((said for key in _MESSAGES if (said := _message(fields.get(key), depth + 1))), "")
    place = fields.get("loc")
    if isinstance(place, list) and text:  # a pydantic error
        text = f"{'.'.join(str(part) for part in cast('list[object]', place))}: {text}"
    raw = _decoded(_mapping(fields.get("metadata")).get("raw"))
    more = _message(raw, depth + 1)
    return f"{text}: {more}" if text and more else text or more


def _page(html: str) -> str:
    found = {" ".join(part[2].split()): None for part in _TAGS.finditer(html)}
    shown = " / ".join(title for title in found if title)
    return f"a web page titled {shown!r}" if shown else "a web page"


def _is_code(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and len(str(value)) < 200


def _wait(headers: Mapping[str, str], layers: list[Json], search: str) -> float | None:
    found = retry_after(headers)
    for layer in layers:
        if found is not None:
            return found
        delay = layer.get("retryDelay", layer.get("retry_after"))
        if isinstance(delay, str | int | float) and not isinstance(delay, bool):
            found = _bounded(_seconds(str(delay)))
        inner = layer.get("headers")
        if found is None and isinstance(inner, dict):
            found = _reset({str(k).lower(): str(v) for k, v in cast("Json", inner).items()})
    if found is None and (words := _WAIT.search(search)):
        found = _bounded(_seconds(words[1]))
    return found


def _reset(headers: Mapping[str, str]) -> float | None:
    found = retry_after(headers)
    if found is not None:
        return found
    try:
        when = float(headers.get("x-ratelimit-reset", ""))
    except ValueError:
        return None
    if when > 1e11:  # milliseconds since 1970
        when /= 1000.0
    return _bounded(when - time.time() if when > 1e9 else when)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the headers ask to wait: a number, a number with a unit, or a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        seconds = _seconds(value) * unit
        if math.isnan(seconds):
            seconds = _until(value, headers.get("date"))
        found = _bounded(seconds)
        if found is not None:
            return found
    return None


def _bounded(seconds: float) -> float | None:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if math.isfinite(seconds) else None


def _seconds(text: str) -> float:
    """``12``, ``12s`` or ``1h2m3.5s`` in seconds; NaN if it is none of these."""
    try:
        return float(text)
    except ValueError:
        pass
    parts = _DURATION.findall(text.lower())
    if not parts or not text.strip()[:1].isdigit():
        return math.nan
    return sum(
        float(number) * (0.001 if unit.startswith(("ms", "milli")) else _UNITS[unit[0]])
        for number, unit in parts
    )


def _until(date: str, now: str | None) -> float:
    try:
        # Measured by the server's own clock, which may differ from ours.
        start = parsedate_to_datetime(now).timestamp() if now else time.time()
        return parsedate_to_datetime(date).timestamp() - start
    except (ValueError, TypeError, OverflowError, OSError):
        return math.nan


def _decoded(raw: object) -> object:
    if not isinstance(raw, str):
        return raw
    try:
        return cast("object", json.loads(raw))
    except (ValueError, RecursionError):
        return raw


def _mapping(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}
