"""The real client, and the limits that it works within."""

import sys
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient

#: Bytes of an answer at most. The longest answers that models give have some hundred
#: kilobytes; what is longer comes from something else, and shall not eat the memory.
MAX_BODY = 8 * 2**20
#: The same where a server compresses, which it was asked not to: 64 KiB can become 64 MiB.
MAX_COMPRESSED = 64 * 2**10
#: Bytes of an error's text that are looked at.
MAX_ERROR = 64 * 2**10

#: Sent with each request: a compressed answer cannot be bounded well.
HEADERS = {"Accept-Encoding": "identity"}

#: Seconds until a connection must stand.
CONNECT = 30.0
#: Seconds that an idle connection is kept: less than the five after which common servers
#: close theirs, or a call would now and then be sent into a closing connection.
KEPT_ALIVE = 4.0

#: Open files that are left to the rest of the process: pools, logs, pipes.
OTHER_FILES = 200


class BodyTooLargeError(Exception):
    """The server sent more than an answer can be."""


def connect_seconds(timeout: float) -> float:
    """Seconds until a connection must stand, for attempts of ``timeout`` seconds."""
    return min(CONNECT, timeout)


def make_client(
    *, api_key: str, base_url: str, max_connections: int, timeout: float
) -> AsyncOpenAI:
    """The client, on the running loop; it makes no retry and follows no redirect.

    Args:
        api_key: the key to send.
        base_url: address of the API.
        max_connections: connections at most.
        timeout: seconds until a connection must stand, at most.
    """
    waiting = httpx2.Timeout(None, connect=connect_seconds(timeout))
    return AsyncOpenAI(
        api_key=api_key,
        base_url=base_url,
        max_retries=0,
        timeout=waiting,
        default_headers=HEADERS,
        http_client=DefaultAioHttpClient(
            timeout=waiting,
            limits=httpx2.Limits(max_connections=max_connections, keepalive_expiry=KEPT_ALIVE),
            # A redirected POST arrives as a GET, and a key must not travel to another host.
            follow_redirects=False,
            event_hooks={"response": [_bound]},
        ),
    )


def connections_that_fit(wanted: int) -> int:
    """Raise the limit of open files as far as connections need it and as it may go.

    A connection is an open file, and the usual limit is 1024. A call beyond it would fail, and
    take other parts of the process with it; it shall wait instead.

    Returns:
        How many connections the process can open, at most ``wanted``.
    """
    if sys.platform == "win32":  # it has no such limit
        return wanted
    import resource

    needed = wanted + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with suppress(OSError, ValueError):  # some systems allow less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    return max(1, min(wanted, soft - OTHER_FILES))


async def _bound(response: httpx2.Response) -> None:
    """Bound what is read of a response; called when its headers have come."""
    if isinstance(response.stream, httpx2.AsyncByteStream):
        if response.status_code >= 300:
            response.stream = _Bounded(response.stream, MAX_ERROR, cut=True)
        elif response.headers.get("content-encoding", "identity") == "identity":
            response.stream = _Bounded(response.stream, MAX_BODY)
        else:
            response.stream = _Bounded(response.stream, MAX_COMPRESSED)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, most: int, *, cut: bool = False) -> None:
        self._stream = stream
        self._most = most
        self._cut = cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most
        async for chunk in self._stream:
            left -= len(chunk)
            if left >= 0:
                yield chunk
            elif self._cut:
                return
            else:
                raise BodyTooLargeError

    async def aclose(self) -> None:
        await self._stream.aclose()
