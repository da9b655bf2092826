"""Calls over a bare HTTP session, with the address and the headers that the client sends.

Requests to one address differ in their body only, and most of the processor time of the client
of ``openai`` goes into options, headers and objects that are the same for all of them. So it
builds one request, and the session repeats it with each body. Both use the same HTTP library.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import httpx2
import openai
from openai import AsyncOpenAI

from paceline_adapters.openai.client import (
    HEADERS,
    KEPT_ALIVE,
    MAX_BODY,
    MAX_COMPRESSED,
    MAX_ERROR,
    BodyTooLargeError,
    connect_seconds,
)

#: Headers that belong to one request; the session writes them itself.
_OF_ONE_REQUEST = frozenset({"connection", "content-length", "host", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of status 200: its decoded body, and its headers without regard to case."""

    body: bytes
    headers: Mapping[str, str]


async def request_to(path: str, *, api_key: str, base_url: str) -> httpx2.Request:
    """The request that the client of ``openai`` builds for this path. It is not sent.

    Args:
        path: path below the address.
        api_key: the key to send.
        base_url: address of the API.
    """
    async with AsyncOpenAI(
        api_key=api_key,
        base_url=base_url,
        max_retries=0,
        default_headers=HEADERS,
        http_client=httpx2.AsyncClient(transport=_Recorder()),
    ) as client:
        response = await client.post(path, cast_to=httpx2.Response, content=b"{}")
    return response.request


class _Recorder(httpx2.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, request=request)


class DirectSession:
    """Posts to the address of a request that the client built.

    It knows no proxies, and follows no redirects.

    Args:
        request: a request that the client built.
        max_connections: connections at most.
        timeout: seconds of an attempt.
    """

    def __init__(self, request: httpx2.Request, *, max_connections: int, timeout: float) -> None:
        self._request = request
        self._url = str(request.url)
        connector = aiohttp.TCPConnector(
            limit=max_connections,
            keepalive_timeout=KEPT_ALIVE,
            ssl=httpx2.create_ssl_context() if request.url.scheme == "https" else True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                name: value
                for name, value in request.headers.items()
                if name.lower() not in _OF_ONE_REQUEST
            },
            timeout=aiohttp.ClientTimeout(sock_connect=connect_seconds(timeout)),
            auto_decompress=False,
        )

    async def post(self, body: bytes) -> Answer:
        """Send a request with this body, and return its answer.

        Raises:
            openai.APIStatusError: the server answered with another status than 200.
            BodyTooLargeError: it sent more than an answer can be.
            aiohttp.ClientError: the connection failed.
        """
        async with self._session.post(self._url, data=body, allow_redirects=False) as response:
            identity = response.headers.get("content-encoding", "identity") == "identity"
            if response.status == 200 and identity:
                return Answer(await _read(response, MAX_BODY), response.headers)
            most = MAX_COMPRESSED if response.status == 200 else MAX_ERROR
            raw = await _read(response, most, cut=response.status != 200)
            decoded = httpx2.Response(
                response.status,
                headers=response.raw_headers,
                content=raw,
                request=self._request,
            )
        if response.status != 200:
            raise openai.APIStatusError(f"status {response.status}", response=decoded, body=None)
        return Answer(decoded.content, decoded.headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


async def _read(response: aiohttp.ClientResponse, most: int, *, cut: bool = False) -> bytes:
    """The body of a response, as it was sent.

    Args:
        response: the response.
        most: bytes to read at most.
        cut: whether a longer body is cut; else it is an error.

    Raises:
        BodyTooLargeError: it is longer.
    """
    parts: list[bytes] = []
    left = most
    async for chunk in response.content.iter_any():
        left -= len(chunk)
        if left >= 0:
            parts.append(chunk)
        elif cut:
            break
        else:
            raise BodyTooLargeError
    return b"".join(parts)
