"""What a failure of the server, or of the way to it, means: one table, the first match wins.

``ROWS`` is for errors that the server answers, ``CONNECTION_ROWS`` for exceptions.
docs/reference/provider-failures.md is generated from both. What a run makes of a failure is
decided in core: see ``paceline.calls.provider_health``.
"""

import errno
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import aiohttp
import httpx2
import openai
from paceline import (
    AccountExhausted,
    CompletionRequest,
    Fatal,
    ProviderError,
    ProviderUnusable,
    Refused,
    RequestTooLong,
    Transient,
    Unreachable,
    UnusableAnswer,
)

from paceline_adapters.openai.client import BodyTooLargeError
from paceline_adapters.openai.error_words import Failure, read_failure
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

#: A wait of this many seconds or more is a closed account, not a pause.
HOURS = 3600.0


def _statuses(*numbers: int) -> Callable[[Failure], bool]:
    return lambda failure: failure.status in numbers


def _words(pattern: str, *statuses: int) -> Callable[[Failure], bool]:
    found = re.compile(pattern, re.DOTALL)
    return lambda failure: (
        (not statuses or failure.status in statuses) and found.search(failure.search) is not None
    )


def _short_wait(failure: Failure) -> bool:
    return failure.retry_after is not None and failure.retry_after < HOURS


_BY_DAY = _words(
    r"per.?day|daily|\brpd\b|\btpd\b|per.?month|monthly|quota of the day|limit of the day"
)
_LIMIT = _words(r"limit|quota|exceed|exhaust")
_BILLING = _words(r"\bbilling\b", 429)


_BILLING_CODES = _words(
    r"insufficient_quota|billing_not_active|billing_hard_limit|budget_exceeded"
    r"|exceeded_current_quota|\barrearage\b|insufficient_(?:credit|balance|funds)|payment_required"
)
_OVERLOAD = _words(r"overload|slow.?down|at capacity|over capacity|no capacity|busy")
_TOO_LONG = _words(
    r"context_length_exceeded|exceed_context_size|context (?:length|window|size)"
    r"|prompt is too long|too many (?:input )?tokens|string_above_max_length|request too large"
    r"|maximum (?:input|sequence|prompt) length|input is too long",
    400, 404, 422, 500,
)  # fmt: skip
_NO_KEY = _words(
    r"invalid_api_key|api_key_invalid|api.?key not valid|(?:invalid|incorrect|missing) api.?key",
    400, 401, 403,
)  # fmt: skip
_GATEWAY = _words(r"bad gateway|unavailable|time-?out|gateway")
_NO_ENDPOINT = _words(r"unexpected endpoint|unknown (?:url|endpoint|route|path)|no (?:such )?route")


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of failure.

    Attributes:
        when: what the server answers, for the docs.
        kind: the error that it becomes.
        matches: whether a failure is of this kind.
        text: what the error says; ``{said}`` are the server's words.
    """

    when: str
    kind: type[ProviderError]
    matches: Callable[[Failure], bool]
    text: str = "{said}"


_EXHAUSTED = (
    "the account can pay for no further call: {said}; add credit or raise the limit at the "
    "provider, then start the run again{reopens}"
)
_DAY = (
    "the quota is used up: {said}; wait or raise it at the provider, then start the run "
    "again{reopens}"
)
_WRONG_URL = (
    "no chat completions are served there; is provider.base_url complete, usually up to /v1? "
    "The server said: {said}"
)

ROWS: tuple[Row, ...] = (
    Row(
        "a redirect (3xx)",
        ProviderUnusable,
        lambda failure: 300 <= failure.status < 400,
        "the server redirects to {location}; set provider.base_url to {base_url}",
    ),
    Row(
        "the server checked the model's JSON itself (`json_validate_failed`)",
        UnusableAnswer,
        _words(r"json_validate_failed"),
    ),
    Row(
        "a code for an unpaid account, such as `insufficient_quota`, `billing_not_active`, "
        "`budget_exceeded`, `Arrearage`, or 402",
        AccountExhausted,
        lambda failure: (
            failure.status == 402
            or (_BILLING_CODES(failure) and not (failure.status == 429 and _short_wait(failure)))
        ),
        _EXHAUSTED,
    ),
    Row(
        "words of moderation with 400, 403 or 451",
        Fatal,
        _words(r"moderation|\bflagged\b|content.?policy|content management policy", 400, 403, 451),
        "the provider's moderation refuses this request: {said}",
    ),
    Row(
        "no credit, no balance, an exceeded budget or a suspended account, in words, "
        "with any status",
        AccountExhausted,
        _words(
            r"insufficient.{0,12}(?:credit|balance|funds|quota)"
            r"|(?:credits?|balance|funds)\b.{0,30}(?:too low|exhausted|depleted|insufficient)"
            r"|out of credits?\b|(?:no|not enough) (?:more )?credits? (?:left|remaining|available)"
            r"|budget.{0,20}exceeded|exceeded.{0,20}budget|not in good standing"
            r"|account.{0,40}(?:not active|suspended|deactivated|overdue|in arrears)"
            r"|(?:billing|spending|spend) (?:hard )?limit"
        ),
        _EXHAUSTED,
    ),
    Row(
        "a quota of a day or a month is used up, and the server asks for no wait below one hour",
        AccountExhausted,
        lambda failure: (
            failure.status in (200, 400, 403, 429, 503)
            and _BY_DAY(failure)
            and _LIMIT(failure)
            and (not _short_wait(failure) or "perday" in failure.search)
        ),
        _DAY,
    ),
    Row(
        "429 with a wait of one hour or more",
        AccountExhausted,
        lambda failure: failure.status == 429 and (failure.retry_after or 0.0) >= HOURS,
        _DAY,
    ),
    Row(
        "429 that points to the billing page and names no wait",
        AccountExhausted,
        lambda failure: _BILLING(failure) and failure.retry_after is None,
        _EXHAUSTED,
    ),
    Row(
        "429 because one request exceeds the quota by itself",
        Fatal,
        _words(r"request too large", 429),
        "one request exceeds the quota by itself: {said}",
    ),
    Row(
        "words of throttling with any status: `rate limit`, `too many requests`, `RPM limit`, "
        "`ThrottlingException`",
        Refused,
        _words(
            r"throttl|rate.?limit|too many requests|\b[rtq]p[msh] limit|resource_?exhausted"
            r"|limit.{0,20}per (?:minute|second)|concurrency limit"
        ),
    ),
    Row("429 or 529", Refused, _statuses(429, 529)),
    Row(
        "5xx with a wait, or with words of overload",
        Refused,
        lambda failure: (
            failure.status >= 500 and (failure.retry_after is not None or _OVERLOAD(failure))
        ),
    ),
    Row(
        "the request is longer than the context, with 400, 413, 422 or 500",
        RequestTooLong,
        lambda failure: failure.status == 413 or _TOO_LONG(failure),
        "prompt and answer are too long for {model}: {said}; use a model or server with a larger "
        "context, or shorter answers (steps.NAME.max_tokens)",
    ),
    Row(
        "502, 503, 520 to 523 or 530: nothing answers behind the gateway",
        Unreachable,
        lambda failure: (
            not failure.inside and failure.status in (502, 503, 520, 521, 522, 523, 530)
        ),
    ),
    Row(
        "words about the key, or 401",
        ProviderUnusable,
        lambda failure: failure.status == 401 or _NO_KEY(failure),
        "the key was not accepted: {said}; check provider.api_key",
    ),
    Row(
        "408, 409, 425 or another 5xx",
        Transient,
        lambda failure: failure.status in (408, 409, 425) or failure.status >= 500,
    ),
    Row(
        "403 that names a country, a permission or a missing access",
        ProviderUnusable,
        _words(
            r"country|region|territory|permission|not authori[sz]ed|access to|not have access", 403
        ),
        "the key was not accepted: {said}",
    ),
    Row(
        "403 with a web page",
        Fatal,
        lambda failure: failure.status == 403 and failure.html,
        "a firewall blocks this request: {said}",
    ),
    Row("another 403", Fatal, _statuses(403), "the provider denies this request: {said}"),
    Row(
        "the model is unknown",
        ProviderUnusable,
        _words(
            r"model_not_found"
            r"|\bmodel\b.{0,220}(?:does not exist|not found|not exist|unknown|not available)"
            r"|(?:unknown|invalid|no such) model"
        ),
        "the server offers no model {model!r}: {said}; check provider.model",
    ),
    Row(
        "status 200 with a web page of a gateway error",
        Transient,
        lambda failure: failure.inside and failure.html and _GATEWAY(failure),
    ),
    Row(
        "a web page, 404, 405, 410, or words about an unknown endpoint",
        ProviderUnusable,
        lambda failure: (
            failure.html
            or failure.status in (404, 405, 410)
            or (failure.inside and _NO_ENDPOINT(failure))
        ),
        _WRONG_URL,
    ),
    Row("another error with status 200", Transient, lambda failure: failure.inside),
    Row("another 4xx", Fatal, lambda _: True),
)


def of_failure(failure: Failure, headers: Mapping[str, str], server: Server) -> ProviderError:
    """The error for what the server answered."""
    row = next(row for row in ROWS if row.matches(failure))
    said = server.quote(failure.text) or "no message"
    if row.kind is UnusableAnswer:
        return UnusableAnswer("malformed", said, server.mask(failure.answer))
    text = row.text.format(
        said=said,
        model=server.model,
        location=server.quote(failure.location) or "another address",
        base_url=server.quote(failure.location.partition("/chat/completions")[0]) or "that one",
        reopens=_reopens(failure.retry_after),
    )
    text = f"{server.address} ({failure.status}): {text}"
    if row.kind is Refused:
        return Refused(text, failure.retry_after, ratelimits(headers))
    if row.kind is AccountExhausted:
        return AccountExhausted(text, failure.retry_after)
    return row.kind(text)


def _reopens(seconds: float | None) -> str:
    if not seconds:
        return ""
    hours, minutes = divmod(round(seconds / 60), 60)
    return f" (the provider asks to wait {hours} h {minutes} min)"


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """One kind of exception.

    Attributes:
        when: what happens, for the docs.
        kind: the error that it becomes.
        matches: whether an exception, or one of its causes, is of this kind.
        text: what the error says; ``{why}`` is the exception.
    """

    when: str
    kind: type[ProviderError]
    matches: Callable[[BaseException], bool]
    text: str


def _dns(*codes: int) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, socket.gaierror) and error.errno in codes


def _is_reset(error: BaseException) -> bool:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return not error.args or "isconnected" in str(error.args[0])
    return isinstance(error, ConnectionResetError | BrokenPipeError) or (
        isinstance(error, aiohttp.ClientOSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)
    )


CONNECTION_ROWS: tuple[ConnectionRow, ...] = (
    ConnectionRow(
        "the certificate is not trusted",
        ProviderUnusable,
        lambda error: isinstance(
            error, ssl.SSLCertVerificationError | aiohttp.ClientConnectorCertificateError
        ),
        "the certificate is not trusted: {why}",
    ),
    ConnectionRow(
        "`https://` to a port without TLS",
        ProviderUnusable,
        lambda error: (
            isinstance(error, ssl.SSLError)
            and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
        ),
        "the server does not speak TLS; begin provider.base_url with http://",
    ),
    ConnectionRow(
        "the proxy of the environment does not answer",
        Unreachable,
        lambda error: isinstance(error, aiohttp.ClientProxyConnectionError),
        "cannot be reached through {proxy}: {why}; unset the variable, or name the host in "
        "NO_PROXY",
    ),
    ConnectionRow(
        "no host has this name",
        ProviderUnusable,
        _dns(socket.EAI_NONAME, socket.EAI_NODATA),
        "no host has this name: {why}; check provider.base_url",
    ),
    ConnectionRow(
        "the DNS server does not answer",
        Unreachable,
        lambda error: isinstance(error, socket.gaierror),
        "cannot be reached: {why}",
    ),
    ConnectionRow(
        "`base_url` is no address of an API",
        ProviderUnusable,
        lambda error: isinstance(
            error, aiohttp.InvalidURL | httpx2.InvalidURL | httpx2.UnsupportedProtocol
        ),
        "is no address of an API; check provider.base_url",
    ),
    ConnectionRow(
        "the connection is refused, or not established in time",
        Unreachable,
        lambda error: isinstance(
            error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
        ),
        "cannot be reached: {why}",
    ),
    ConnectionRow(
        "the connection is reset before an answer began",
        Unreachable,
        _is_reset,
        "closed the connection: {why}",
    ),
    ConnectionRow(
        "no whole answer within `provider.timeout`",
        Transient,
        lambda error: isinstance(error, TimeoutError),
        "gave no whole answer within {timeout:g} s (provider.timeout)",
    ),
    ConnectionRow(
        "the connection breaks in the middle of an answer",
        Transient,
        lambda error: isinstance(
            error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError
        ),
        "cut the connection: {why}",
    ),
    ConnectionRow("anything else", Transient, lambda _: True, "sent a broken answer: {why}"),
)


def of_error(
    error: Exception,
    server: Server,
    *,
    timeout: float,
    request: CompletionRequest | None = None,
) -> ProviderError:
    """The error for what the client raised.

    Args:
        error: one of ``CAUGHT``.
        server: the server.
        timeout: seconds that the attempt could take.
        request: what was asked.
    """
    if isinstance(error, openai.APIStatusError):
        headers = cast("Mapping[str, str]", error.response.headers)
        return of_failure(failure_of(error, request), headers, server)
    if isinstance(error, BodyTooLargeError):
        return UnusableAnswer("malformed", "it is larger than any answer can be")
    chain = list(_chain(error))
    # Outer errors of the client name the inner ones wrongly: a reset is a timeout to it.
    row, cause = next(
        (row, cause)
        for row in CONNECTION_ROWS
        for cause in reversed(chain)
        if row.matches(cause) and (row.kind is not Transient or cause is chain[-1])
    )
    text = row.text.format(
        why=_why(cause, server), timeout=timeout, proxy=server.proxy or "a proxy"
    )
    failed = row.kind(f"{server.address} {text}")
    if row.matches is _is_reset and request is not None:
        # The request was sent, so the server may charge it; during an outage it does not.
        failed.charge(0, 0, estimated=True)
    return failed


def failure_of(error: openai.APIStatusError, request: CompletionRequest | None) -> Failure:
    """An error that came with an HTTP status."""
    response = error.response
    try:
        body: object = response.json()
    except (ValueError, RecursionError):
        body = response.text
    headers = cast("Mapping[str, str]", response.headers)
    return read_failure(error.status_code, body, headers, request)


def _why(error: BaseException, server: Server) -> str:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    reason = inner.strerror if isinstance(inner, OSError) else None
    return server.quote(reason or str(inner)) or type(inner).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes, outermost first; bounded."""
    for _ in range(10):
        if not isinstance(error, Exception):  # a timeout's cause is a cancellation
            return
        yield error
        error = error.__cause__
