"""What the provider lets in: requests and tokens of a sliding window, and calls in flight."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass


class SlidingWindow:
    """The admissions of the last ``seconds``, exactly.

    Nothing is rounded to buckets, so a client that stays below the limit in every window is
    never refused, and one that exceeds it in any window always is.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.tokens = 0
        self._admitted: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        return len(self._admitted)

    def expire(self, now: float) -> None:
        """Forget what is older than the window."""
        while self._admitted and now - self._admitted[0][0] >= self.seconds:
            self.tokens -= self._admitted.popleft()[1]

    def add(self, now: float, tokens: int) -> None:
        """Record an admission."""
        self._admitted.append((now, tokens))
        self.tokens += tokens

    def until_left(self, now: float, requests: int, tokens: int) -> float:
        """Seconds until at least so many requests and tokens have left the window."""
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
        """Seconds until the window is as if nothing had been asked."""
        return max(0.0, self._admitted[-1][0] + self.seconds - now) if self._admitted else 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call was not let in.

    Attributes:
        limit: ``concurrency``, ``requests`` or ``tokens``.
        message: the same in words.
        retry_after: seconds until it would be let in, if nobody else asks.
    """

    limit: str
    message: str
    retry_after: float


class Quota:
    """Admits calls. Time is an argument; refused calls are not counted against the limits.

    Args:
        requests: requests per window, or ``None``.
        tokens: tokens per window, or ``None``.
        concurrency: calls in flight, or ``None``.
        window: its length in seconds.
        idle_retry: seconds to wait when too many calls are in flight; nobody knows better.
    """

    def __init__(
        self,
        *,
        requests: int | None = None,
        tokens: int | None = None,
        concurrency: int | None = None,
        window: float = 60.0,
        idle_retry: float = 1.0,
    ) -> None:
        self._requests = requests
        self._tokens = tokens
        self._concurrency = concurrency
        self._idle_retry = idle_retry
        self.window = SlidingWindow(window)

    def forget(self) -> None:
        """Be as if nothing had been asked."""
        self.window = SlidingWindow(self.window.seconds)

    def change(self, limits: Mapping[str, int]) -> None:
        """Have other limits from now on; what is not named stays, and so does what was used.

        Args:
            limits: of ``requests``, ``tokens`` and ``concurrency``.
        """
        self._requests = limits.get("requests", self._requests)
        self._tokens = limits.get("tokens", self._tokens)
        self._concurrency = limits.get("concurrency", self._concurrency)

    def admit(self, now: float, *, tokens: int, in_flight: int) -> Refusal | None:
        """Let a call of so many tokens in and charge it, or say why not."""
        window = self.window
        window.expire(now)
        if self._concurrency is not None and in_flight >= self._concurrency:
            return Refusal(
                "concurrency",
                f"Too many calls in flight: Limit {self._concurrency}.",
                self._idle_retry,
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
        most, used, asked = figures
        return Refusal(
            limit,
            f"Rate limit reached on {words}: Limit {most}, Used {used}, Requested {asked}. "
            f"Please try again in {duration(wait)}.",
            wait,
        )

    def headers(self, now: float) -> dict[str, str]:
        """The ``x-ratelimit-*`` headers as of now; none for a limit that is not set."""
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
    """``retry-after`` in whole seconds, as HTTP wants it, and exactly in milliseconds."""
    return {
        "retry-after": str(max(1, math.ceil(seconds))),
        "retry-after-ms": str(max(1, math.ceil(seconds * 1000))),
    }


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: ``20ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    return f"{int(minutes)}m{rest:.3g}s" if minutes else f"{rest:.5g}s"
