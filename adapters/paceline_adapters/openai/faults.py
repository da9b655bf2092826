"""What the client raises, and what a server answers, as errors of ours.

=====================================  ===================================================
429, 529                               ``Refused``; ``ProviderUnusable`` if the quota is used up
503                                    ``Refused`` if it says when to come again, or that it is
                                       overloaded; else ``Unreachable``: nothing is behind the
                                       gateway
no connection                          ``Unreachable``; ``Transient`` if the host has no address
408, 409, 425, 5xx, timeouts,          ``Transient``
cut connections, broken bodies
401, 402, 403, unknown model,          ``ProviderUnusable``
no such path, redirects, certificates
other 4xx                              ``Fatal``
=====================================  ===================================================
"""

import math
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import cast

import aiohttp
import httpx2
import openai
from paceline import (
    Fatal,
    ProviderError,
    ProviderUnusable,
    Refused,
    Transient,
    Unreachable,
    UnusableAnswer,
)

from paceline_adapters.openai.client import BodyTooLargeError
from paceline_adapters.openai.ratelimits import ratelimits
from paceline_adapters.openai.server import Server

#: Everything that a call raises when the server or the way to it fails.
#: A broken body raises a bare ``ValueError``, from JSON or from UTF-8.
CAUGHT: tuple[type[Exception], ...] = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    aiohttp.ClientError,
    BodyTooLargeError,
    TimeoutError,
    OSError,
    ValueError,
    RecursionError,
)

#: Seconds that a server can ask to wait at most, as far as we believe it.
MAX_RETRY_AFTER = 24 * 3600.0

#: Where servers put their words, in the order of worth.
_WORDS = ("message", "error", "detail")

_OVERLOAD = re.compile(r"overload|slow.?down|capacity|too many requests|rate.?limit|busy")
_NO_CREDIT = re.compile(
    r"insufficient_quota|billing_hard_limit|insufficient.{0,9}(?:credit|balance)"
)
_TOO_LONG = re.compile(
    r"context_length_exceeded|context (?:length|window|size)|prompt is too long|too many tokens"
    r"|string_above_max_length|request too large"
)
_NO_MODEL = re.compile(
    r"model_not_found|model.{0,220}(?:does not exist|not found|not exist|unknown|not available)"
    r"|(?:unknown|invalid|no such) model",
    re.DOTALL,
)
_NO_KEY = re.compile(r"invalid_api_key|api key not valid|(?:invalid|incorrect) api.?key")


def of_error(error: Exception, server: Server, *, timeout: float) -> ProviderError:
    """The error of ours for what the client raised.

    Args:
        error: one of ``CAUGHT``.
        server: whom was asked.
        timeout: seconds that the attempt could take.
    """
    if isinstance(error, openai.APIStatusError):
        headers = cast("Mapping[str, str]", error.response.headers)
        return of_status(error.status_code, error.body, headers, server)
    if isinstance(error, BodyTooLargeError):
        return UnusableAnswer("malformed", "it is larger than any answer can be")
    return _of_connection(error, server, timeout)


def _of_connection(error: Exception, server: Server, timeout: float) -> ProviderError:
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(
            cause, ssl.SSLCertVerificationError | aiohttp.ClientConnectorCertificateError
        ):
            return ProviderUnusable(
                f"{server.address}: the certificate is not trusted: {server.quote(str(cause))}"
            )
    for cause in chain:
        if isinstance(cause, aiohttp.ClientConnectorError):
            reason = cause.os_error.strerror or str(cause.os_error)
            # A name that nobody knows is a slip of the pen more often than an outage.
            unknown = isinstance(cause, aiohttp.ClientConnectorDNSError)
            kind = Transient if unknown else Unreachable
            return kind(f"{server.address} cannot be reached: {server.quote(reason)}")
        if isinstance(cause, aiohttp.ConnectionTimeoutError):
            return Unreachable(f"{server.address} cannot be reached: no connection in time")
        if isinstance(cause, aiohttp.InvalidURL | httpx2.InvalidURL | httpx2.UnsupportedProtocol):
            return ProviderUnusable(f"{server.address} is no address of an API")
    root = chain[-1]
    if isinstance(root, TimeoutError):
        return Transient(f"{server.address} gave no whole answer within {timeout:g} s")
    if isinstance(root, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError):
        said = server.quote(str(root)) or type(root).__name__
        return Transient(f"{server.address} cut the connection: {said}")
    said = server.quote(str(root)) or type(root).__name__
    return Transient(f"{server.address} sent a broken answer: {said}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes, outermost first; bounded."""
    for _ in range(10):
        if not isinstance(error, Exception):  # a timeout's cause is a cancellation
            return
        yield error
        error = error.__cause__


def of_status(
    status: int, body: object, headers: Mapping[str, str], server: Server
) -> ProviderError:
    """The error of ours for an answer that is an error.

    Args:
        status: the HTTP status, or what the body gives in its place.
        body: the decoded body, or its text.
        headers: headers in lower case, or none.
        server: whom was asked.
    """
    words = error_text(body)
    said, low = server.quote(words), _searchable(body, words)
    where = f"{server.address} ({status})"
    after = retry_after(headers)
    if status in (429, 402) and (status == 402 or _NO_CREDIT.search(low)):
        return ProviderUnusable(f"{where}: the account has no credit left: {said}")
    if status == 429 and "request too large" in low:
        return Fatal(f"{where}: one request exceeds the quota by itself: {said}")
    if status in (429, 529) or (status == 503 and (after is not None or _OVERLOAD.search(low))):
        return Refused(f"{where}: {said}", after, ratelimits(headers))
    if status == 503:
        return Unreachable(f"{where}: {said}")
    if status in (408, 409, 425) or status >= 500:
        return Transient(f"{where}: {said}")
    if status in (401, 403) or _NO_KEY.search(low):
        return ProviderUnusable(f"{where}: the key was not accepted: {said}")
    if status < 400:
        return ProviderUnusable(
            f"{where}: redirects to {said or 'another address'}; set provider.base_url to that one"
        )
    if _TOO_LONG.search(low):
        return Fatal(f"{where}: prompt and answer are too long for {server.model}: {said}")
    if _NO_MODEL.search(low):
        return ProviderUnusable(f"{where}: it offers no model {server.model!r}: {said}")
    if status in (404, 405, 410):
        return ProviderUnusable(
            f"{where}: no chat completions are served there; "
            f"is provider.base_url complete, usually up to /v1? It said: {said}"
        )
    if "json_validate_failed" in low:  # the server enforced the schema, the model failed
        return UnusableAnswer("malformed", said, _failed_generation(body, server))
    return Fatal(f"{where}: {said}")


def error_text(body: object) -> str:
    """The message in an error's body, whichever way the server words it."""
    found = body
    for _ in range(3):
        if not isinstance(found, dict):
            break
        fields = cast("dict[str, object]", found)
        found = next((fields[key] for key in _WORDS if fields.get(key)), None)
    return str(found) if found else "no message"


def _searchable(body: object, words: str) -> str:
    if not isinstance(body, dict):
        return words.lower()
    fields = cast("dict[str, object]", body)
    return f"{fields.get('code')} {fields.get('type')} {words}".lower()


def _failed_generation(body: object, server: Server) -> str:
    if not isinstance(body, dict):
        return ""
    text = cast("dict[str, object]", body).get("failed_generation")
    return server.mask(text) if isinstance(text, str) else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until the server wants to be asked again, from milliseconds, seconds or a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            seconds = _until(value, headers.get("date"))
        if math.isfinite(seconds):
            return min(max(seconds, 0.0), MAX_RETRY_AFTER)
    return None


def _until(date: str, now: str | None) -> float:
    try:
        # Measured by the server's own clock, which may differ from ours.
        start = parsedate_to_datetime(now).timestamp() if now else time.time()
        return parsedate_to_datetime(date).timestamp() - start
    except (ValueError, TypeError, OverflowError, OSError):
        return math.nan
