"""Posts deliveries to a URL, signed. What the answer means for a delivery is decided here."""

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from urllib.parse import urlsplit

import aiohttp
from paceline import Delivery, SettingsError, Sink, SinkUnavailable

from paceline_adapters.sinks.signing import key_of, signed_headers
from paceline_adapters.sinks.webhook_plugin import WebhookOptions

_AGENT = f"paceline/{version('paceline')}"
#: Maximum bytes of an answer that a reason shows.
_SHOWN = 200
_GONE, _TOO_EARLY = 410, 425
#: Statuses of a receiver that accepts nothing for now.
_BUSY = frozenset({408, _TOO_EARLY, 429})


class WebhookSink(Sink):
    """One POST for each delivery.

    Raises:
        SettingsError: a variable with a secret is not set, or a secret is wrong.
    """

    def __init__(self, options: WebhookOptions) -> None:
        self._url = options.url.get_secret_value()
        self._keys = _keys(options)
        self._timeout = options.request_timeout
        self._session: aiohttp.ClientSession | None = None
        #: A batch is one round of requests at the same time.
        self.batch = options.concurrency

    @property
    def _place(self) -> str:
        """The receiver without path and query, which may contain a token."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    async def deliver(self, batch: Sequence[Delivery]) -> Mapping[str, str] | None:
        """Post a batch. If one request shows that the receiver is down, so is the sink."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.batch),
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                headers={"User-Agent": _AGENT, "Content-Type": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        session = self._session
        answers = await asyncio.gather(
            *(self._post(session, delivery) for delivery in batch), return_exceptions=True
        )
        found = list(zip(batch, answers, strict=True))
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, SinkUnavailable):
                raise answer
        down = [answer for answer in answers if isinstance(answer, SinkUnavailable)]
        if down:
            pauses = [one.retry_after for one in down if one.retry_after is not None]
            raise SinkUnavailable(
                str(down[0]),
                retry_after=max(pauses, default=None),
                delivered=[one.id for one, answer in found if answer is None],
            )
        return {one.id: answer for one, answer in found if isinstance(answer, str)}

    async def _post(self, session: aiohttp.ClientSession, delivery: Delivery) -> str | None:
        """Post one delivery.

        Returns:
            ``None`` if the receiver accepted it, else why it rejected it.

        Raises:
            SinkUnavailable: the receiver is down.
        """
        body = json.dumps(delivery.to_json()).encode()
        headers = signed_headers(
            self._keys, message_id=delivery.id, timestamp=int(time.time()), body=body
        )
        try:
            async with session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                if response.ok and response.status < 300:
                    return None
                said = await _beginning(response)
        except TimeoutError:
            raise SinkUnavailable(
                f"{self._place} did not answer within {self._timeout:g} s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise SinkUnavailable(f"{self._place} cannot be reached: {reason}") from None
        return self._judged(response, said)

    def _judged(self, response: aiohttp.ClientResponse, said: str) -> str:
        """Why one delivery was rejected; raises if the receiver accepts none."""
        status = response.status
        answer = f"{self._place} answers {status}"
        if status == _GONE:
            raise SinkUnavailable(f"{answer} (gone): it wants no more; remove the sink, or its URL")
        if status < 400:
            raise SinkUnavailable(f"{answer}, a redirect: set url to the new address")
        said = f": {said}" if said else ""
        if status in _BUSY or status >= 500:
            retry_after = _seconds(response.headers.get("Retry-After", ""))
            raise SinkUnavailable(f"{answer}{said}", retry_after=retry_after)
        return f"{answer}{said}"

    async def check(self) -> str:
        """Check that a connection can be opened. Nothing is posted."""
        parts = urlsplit(self._url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(self._timeout):
                _, writer = await asyncio.open_connection(parts.hostname, port)
        except TimeoutError:
            raise SinkUnavailable(f"{self._place} did not answer in time") from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise SinkUnavailable(f"{self._place} cannot be reached: {reason}") from None
        writer.close()
        return f"{self._place} accepts connections"

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _keys(options: WebhookOptions) -> list[bytes]:
    secrets = [one for one in (options.secret, *options.secrets) if one is not None]
    keys = [key_of(secret.get_secret_value()) for secret in secrets]
    name = options.secret_env
    if name is None:
        return keys
    values = [one.strip() for one in os.environ.get(name, "").split(",") if one.strip()]
    if not values:
        raise SettingsError(
            f"secret_env of sink webhook: the environment variable {name} is not set"
        )
    try:
        return keys + [key_of(value) for value in values]
    except ValueError as error:
        raise SettingsError(f"secret_env of sink webhook: {name} {error}") from None


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """The beginning of an answer, for a reason."""
    try:
        raw = await response.content.read(_SHOWN)
    except (aiohttp.ClientError, OSError):
        return ""
    return " ".join(raw.decode(errors="replace").split())


def _seconds(header: str) -> float | None:
    """The value of a ``Retry-After`` header in seconds: a number or a date."""
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
