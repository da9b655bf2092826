"""The provider's quota: requests and tokens in a sliding window, and calls in flight."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass


class SlidingWindow:
    """The admissions of the last ``seconds``, without rounding to buckets.

    A client that stays below the limit in every window is never rejected, and a client that
    exceeds the limit in any window always is.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.tokens = 0
        self._admitted: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        return len(self._admitted)

    def expire(self, now: float) -> None:
        """Remove admissions that are older than the window."""
        while self._admitted and now - self._admitted[0][0] >= self.seconds:
            self.tokens -= self._admitted.popleft()[1]

    def add(self, now: float, tokens: int) -> None:
        """Record an admission."""
        self._admitted.append((now, tokens))
        self.tokens += tokens

    def until_left(self, now: float, requests: int, tokens: int) -> float:
        """Seconds until at least these numbers of requests and tokens have left the window."""
        for admitted, cost in self._admitted:
            if requests <= 0 and tokens <= 0:
                break
            requests -= 1
            tokens -= cost
            wait = admitted + self.seconds - now
            if requests <= 0 and tokens <= 0:
                return max(0.0, wait)
        return 0.0

    def until_empty(self, now: float) -> float:
        """Seconds until the window is empty."""
        return max(0.0, self._admitted[-1][0] + self.seconds - now) if self._admitted else 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call was rejected.

    Attributes:
        limit: ``concurrency``, ``requests`` or ``tokens``.
        message: the reason as text.
        retry_after: seconds until the call would be admitted, without other calls.
    """

    limit: str
    message: str
    retry_after: float


class Quota:
    """Admits calls. Time is an argument; rejected calls do not use the limits.

    Args:
        requests: limit of requests per window, or ``None``.
        tokens: limit of tokens per window, or ``None``.
        concurrency: limit of calls in flight, or ``None``.
        window: length of the window in seconds.
        concurrency_retry: retry-after in seconds if too many calls are in flight.
    """

    def __init__(
        self,
        *,
        requests: int | None = None,
        tokens: int | None = None,
        concurrency: int | None = None,
        window: float = 60.0,
        concurrency_retry: float = 1.0,
    ) -> None:
        self._requests = requests
        self._tokens = tokens
        self._concurrency = concurrency
        self._concurrency_retry = concurrency_retry
        self.window = SlidingWindow(window)

    def reset(self) -> None:
        """Reset the used quota."""
        self.window = SlidingWindow(self.window.seconds)

    def change(self, limits: Mapping[str, int]) -> None:
        """Change limits; the other limits and the used quota stay.

        Args:
            limits: new limits by name: ``requests``, ``tokens``, ``concurrency``.
        """
        self._requests = limits.get("requests", self._requests)
        self._tokens = limits.get("tokens", self._tokens)
        self._concurrency = limits.get("concurrency", self._concurrency)

    def admit(self, now: float, *, tokens: int, in_flight: int) -> Refusal | None:
        """Admit a call and charge its tokens, or return why it was rejected."""
        window = self.window
        window.expire(now)
        if self._concurrency is not None and in_flight >= self._concurrency:
            return Refusal(
                "concurrency",
                f"Too many calls in flight: Limit {self._concurrency}.",
                self._concurrency_retry,
            )
        if self._requests is not None and len(window) >= self._requests:
            return self._refusal(
                "requests",
                "requests per min (RPM)",
                (self._requests, len(window), 1),
                window.until_left(now, len(window) - self._requests + 1, 0),
            )
        if self._tokens is not None and window.tokens + tokens > self._tokens:
            if tokens > self._tokens:
                return Refusal(
                    "tokens",
                    f"Request too large on tokens per min (TPM): Limit {self._tokens}, "
                    f"Requested {tokens}. The input or output tokens must be reduced.",
                    window.seconds,
                )
            return self._refusal(
                "tokens",
                "tokens per min (TPM)",
                (self._tokens, window.tokens, tokens),
                window.until_left(now, 0, window.tokens + tokens - self._tokens),
            )
        window.add(now, tokens)
        return None

    @staticmethod
    def _refusal(limit: str, words: str, figures: tuple[int, int, int], wait: float) -> Refusal:
        limit_value, used, requested = figures
        return Refusal(
            limit,
            f"Rate limit reached on {words}: Limit {limit_value}, Used {used}, "
            f"Requested {requested}. Please try again in {duration(wait)}.",
            wait,
        )

    def headers(self, now: float) -> dict[str, str]:
        """The current ``x-ratelimit-*`` headers of the limits that are set."""
        window = self.window
        window.expire(now)
        reset = duration(window.until_empty(now))
        found: dict[str, str] = {}
        for name, limit, used in (
            ("requests", self._requests, len(window)),
            ("tokens", self._tokens, window.tokens),
        ):
            if limit is not None:
                found[f"x-ratelimit-limit-{name}"] = str(limit)
                found[f"x-ratelimit-remaining-{name}"] = str(max(0, limit - used))
                found[f"x-ratelimit-reset-{name}"] = reset
        return found


def retry_headers(seconds: float) -> dict[str, str]:
    """``retry-after`` in whole seconds, and ``retry-after-ms`` in milliseconds."""
    return {
        "retry-after": str(max(1, math.ceil(seconds))),
        "retry-after-ms": str(max(1, math.ceil(seconds * 1000))),
    }


def duration(seconds: float) -> str:
    """Seconds in OpenAI's format: ``20ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    return f"{int(minutes)}m{rest:.3g}s" if minutes else f"{rest:.5g}s"
