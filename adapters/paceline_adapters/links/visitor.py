"""Visits addresses politely: few at once per host, and none on private networks."""

import asyncio
import ipaddress
import socket
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

#: Redirects that are followed.
MOST_REDIRECTS = 5
#: Results that are remembered.
MOST_REMEMBERED = 10_000
#: Statuses of pages that exist and refuse programs, or ask them to slow down.
EXISTS = frozenset({401, 402, 403, 405, 406, 407, 418, 429, 451, 999})
#: Statuses after which GET is tried, because some servers do not answer HEAD.
TRY_GET = frozenset({400, 403, 404, 405, 406, 429, 500, 501, 503, 999})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_AGENT = "Mozilla/5.0 (compatible; paceline-links)"


@dataclass(frozen=True, slots=True)
class Visit:
    """The result of a visit.

    Attributes:
        url: the address, or the target of its redirects.
        problem: why the address does not work; empty if it does.
    """

    url: str
    problem: str = ""


class PrivateAddressError(Exception):
    """The host has a private address."""


class Visitor:
    """Visits addresses and remembers the results. Its session is made at the first visit.

    Args:
        timeout: maximum seconds for one address, redirects included.
        per_host: maximum requests to one host at once.
        keep: seconds for which a result is remembered.
        private: whether private addresses may be requested.
    """

    def __init__(self, *, timeout: float, per_host: int, keep: float, private: bool) -> None:
        self._timeout = timeout
        self._per_host = per_host
        self._keep = keep
        self._private = private
        self._session: aiohttp.ClientSession | None = None
        self._hosts: dict[str, asyncio.Semaphore] = {}
        self._known: OrderedDict[str, tuple[float, Visit]] = OrderedDict()

    async def visit(self, url: str) -> Visit:
        """Visit an address."""
        now = asyncio.get_running_loop().time()
        known = self._known.get(url)
        if known is not None and now - known[0] < self._keep:
            return known[1]
        visit = await self._visit(url)
        self._known[url] = now, visit
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return visit

    async def _visit(self, url: str) -> Visit:
        at = url
        try:
            async with asyncio.timeout(self._timeout):
                for _ in range(MOST_REDIRECTS + 1):
                    status, target = await self._ask(at)
                    if status not in REDIRECTS or not target:
                        return Visit(at, _problem(status))
                    at = urljoin(at, target)
        except TimeoutError:
            return Visit(url, f"no answer within {self._timeout:g} s")
        except PrivateAddressError:
            return Visit(url, "it is a private address")
        except aiohttp.InvalidURL:
            return Visit(url, "it is no valid address")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Visit(url, f"it cannot be reached ({type(error).__name__})")
        return Visit(url, f"it redirects more than {MOST_REDIRECTS} times")

    async def _ask(self, url: str) -> tuple[int, str]:
        """The status of an address, and the target of a redirect."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise aiohttp.InvalidURL(url)
        if not self._private:
            _refuse_private(host)
        async with self._hosts.setdefault(host, asyncio.Semaphore(self._per_host)):
            status, target = await self._request("HEAD", url)
            if status in TRY_GET:
                status, target = await self._request("GET", url)
        return status, target

    async def _request(self, method: str, url: str) -> tuple[int, str]:
        async with self._open().request(method, url, allow_redirects=False) as response:
            return response.status, response.headers.get("Location", "")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = None if self._private else _PublicResolver()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=64, resolver=resolver),
                headers={"User-Agent": _AGENT},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """Close the connections; a second call does nothing."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class _PublicResolver(AbstractResolver):
    """Resolves names, and refuses those of private addresses: a redirect may lead to one."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            _refuse_private(one["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _refuse_private(host: str) -> None:
    """Refuse an address that is not public; names are refused when they are resolved."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None) or address
        if not mapped.is_global or mapped.is_multicast:
            raise PrivateAddressError(host)


def _problem(status: int) -> str:
    return "" if status < 400 or status in EXISTS else f"the server answers {status}"
