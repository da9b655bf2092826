"""Limits of one client: requests per second, and open streams."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager

from paceline import WebSettings

from paceline_adapters.web.problems import Problem

#: Maximum number of clients to remember; the one idle for the longest time is dropped first.
_MAX_CLIENTS = 10_000


class RateLimit:
    """Counts the requests and streams of clients.

    Args:
        clock: a monotonic clock, in seconds.

    Attributes:
        streams: number of open streams.
    """

    def __init__(self, web: WebSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = web.rate
        self._burst = max(1.0, 2 * web.rate)
        self._max_streams = web.max_streams
        self._max_streams_per_client = web.max_streams_per_client
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._streams: Counter[str] = Counter()
        self.streams = 0

    def request(self, client: str) -> None:
        """Count a request.

        Raises:
            Problem: 429, the client sends too many requests.
        """
        now = self._clock()
        tokens, updated_at = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - updated_at) * self._rate)
        self._buckets[client] = (tokens - 1.0 if tokens >= 1.0 else tokens, now)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if tokens < 1.0:
            wait = max(1, round((1.0 - tokens) / self._rate + 0.5))
            raise Problem(
                429,
                "too-many-requests",
                f"More than {self._rate:g} requests per second.",
                headers={"Retry-After": str(wait)},
            )

    @contextmanager
    def stream(self, client: str) -> Generator[None]:
        """Count a stream while it is open.

        Raises:
            Problem: 429, the client has too many streams; 503, the server has.
        """
        if self._streams[client] >= self._max_streams_per_client:
            raise _too_many(429, f"More than {self._max_streams_per_client} streams of one client.")
        if self.streams >= self._max_streams:
            raise _too_many(503, f"More than {self._max_streams} streams.")
        self._streams[client] += 1
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1
            self._streams[client] -= 1
            if not self._streams[client]:
                del self._streams[client]


def _too_many(status: int, detail: str) -> Problem:
    # We cannot know when a stream will end, so the wait is a guess.
    return Problem(status, "too-many-streams", detail, headers={"Retry-After": "5"})
