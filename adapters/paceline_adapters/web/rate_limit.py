"""How much one client may ask for: requests a second, and streams at once."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager

from paceline import WebSettings

from paceline_adapters.web.problems import Problem

#: Clients that are remembered; the one that was silent longest is forgotten first.
_MOST_CLIENTS = 10_000


class Limits:
    """Counts what clients ask for.

    Args:
        web: the limits.
        clock: seconds that rise steadily.
    """

    def __init__(self, web: WebSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = web.rate
        self._burst = max(1.0, 2 * web.rate)
        self._most = web.max_streams
        self._most_each = web.max_streams_per_client
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._streams: Counter[str] = Counter()
        #: Streams open now.
        self.streams = 0

    def request(self, client: str) -> None:
        """Count a request.

        Raises:
            Problem: 429, the client asks too often.
        """
        now = self._clock()
        left, then = self._buckets.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        self._buckets[client] = (left - 1.0 if left >= 1.0 else left, now)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if left < 1.0:
            wait = max(1, round((1.0 - left) / self._rate + 0.5))
            raise Problem(
                429,
                "too-many-requests",
                f"More than {self._rate:g} requests a second.",
                headers={"Retry-After": str(wait)},
            )

    @contextmanager
    def stream(self, client: str) -> Generator[None]:
        """Count a stream while it is open.

        Raises:
            Problem: 429 or 503, there are too many of this client, or of all.
        """
        if self._streams[client] >= self._most_each:
            raise _too_many(429, f"More than {self._most_each} streams of one client.")
        if self.streams >= self._most:
            raise _too_many(503, f"More than {self._most} streams.")
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
    """There is no place for a stream; when there is one, nobody knows: soon is as good as any."""
    return Problem(status, "too-many-streams", detail, headers={"Retry-After": "5"})
