"""Posts to a URL when most of a budget is spent. A receiver that is down delays nothing."""

import asyncio
import json
import logging
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from paceline.contracts.storage.budgets import OPTIONS, AccountFigures, from_nanos
from paceline.tasks import cancel_and_wait, start_background

log = logging.getLogger("paceline.budget")

#: Seconds of one attempt, and pauses before further attempts.
_TIMEOUT = 5.0
_PAUSES = (1.0, 5.0, 25.0)
#: Maximum number of alerts that are being sent; more of them are only logged.
_MOST = 20
#: Seconds to finish on close.
_CLOSE_TIMEOUT = 2.0
#: Maximum length of the first line of an answer.
_LINE = 1024


class BudgetAlert:
    """One POST of JSON for each limit, from the worker that noticed its use.

    Args:
        url: address of the receiver: http or https.
        currency: currency of the amounts.
    """

    def __init__(self, url: str, currency: str) -> None:
        self._parts = urlsplit(url)
        self._currency = currency
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def _place(self) -> str:
        """The receiver without path and query, which may contain a token."""
        return f"{self._parts.scheme}://{self._parts.netloc.rpartition('@')[2]}"

    def send(self, figures: AccountFigures) -> None:
        """Send in the background; a failure is logged once."""
        if len(self._sending) >= _MOST:
            log.warning("budget: alert to %s was dropped: too many wait already", self._place)
            return
        task = start_background(self._deliver(body_of(figures, self._currency)))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Give alerts a short time to arrive, then stop."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=_CLOSE_TIMEOUT)
        await cancel_and_wait(*self._sending)

    async def _deliver(self, body: Mapping[str, object]) -> None:
        reason = ""
        for pause in (*_PAUSES, None):
            try:
                async with asyncio.timeout(_TIMEOUT):
                    status = await self._post(json.dumps(body).encode())
            except TimeoutError:
                reason = f"it did not answer within {_TIMEOUT:g} s"
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or type(error).__name__
            else:
                if 200 <= status < 300:
                    return
                reason = f"it answers {status}"
                if status < 500 and status not in (408, 425, 429):
                    break  # a further attempt would not change that
            if pause is not None:
                await asyncio.sleep(pause)
        log.warning("budget: alert could not be sent to %s: %s", self._place, reason)

    async def _post(self, body: bytes) -> int:
        """Post once; returns the status. Redirects are not followed."""
        parts, secure = self._parts, self._parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = (
            f"POST {path} HTTP/1.1\r\n"
            f"Host: {parts.netloc.rpartition('@')[2]}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n"
            "User-Agent: paceline\r\nConnection: close\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection(
            parts.hostname,
            port,
            ssl=ssl.create_default_context() if secure else None,
            limit=_LINE,
        )
        try:
            writer.write(head.encode("ascii") + body)
            await writer.drain()
            version, status, *_ = (await reader.readline()).decode("latin-1").split(maxsplit=2)
            if not version.startswith("HTTP/"):
                raise ValueError("no HTTP")
            return int(status)
        finally:
            writer.close()


def body_of(figures: AccountFigures, currency: str) -> dict[str, object]:
    """What a receiver gets."""
    account = figures.account
    return {
        "type": "budget.low",
        "limit": OPTIONS[account.scope],
        "period": account.period or None,
        "run_id": account.subject if account.scope == "run" else None,
        "tenant": account.subject if account.scope == "tenant-day" else None,
        "model": account.key or None,
        "amount": from_nanos(figures.limit),
        "spent": from_nanos(figures.spent),
        "reserved": from_nanos(figures.reserved),
        "currency": currency,
        "text": figures.describe(currency),
    }


def check_url(url: str) -> bool:
    """Whether a URL can be posted to: http or https, ASCII, without user, blanks or fragment."""
    try:
        parts = urlsplit(url)
        port_fits = parts.port != 0
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and port_fits
        and "@" not in parts.netloc
        and not parts.fragment
        and url.isascii()
        and all(33 <= ord(one) < 127 for one in url)
    )
