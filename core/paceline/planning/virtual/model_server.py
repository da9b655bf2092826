"""A model of a provider in virtual time: its concurrency, its quotas per minute, its latency.

The model describes the outside behaviour of a provider, and not its causes.
"""

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paceline.contracts.admission.work import Done, RateLimited, RateLimitInfo
from paceline.planning.virtual.shared_server import SharedServer

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Steps:
    """A number that changes over time.

    Attributes:
        steps: (second from which the number applies, number), in order; the first at 0.
    """

    steps: Sequence[tuple[float, int]]

    def at(self, now: float) -> int:
        """The number at this time."""
        return next(number for since, number in reversed(self.steps) if since <= now)


def always(number: int) -> Steps:
    """A number that never changes."""
    return Steps([(0.0, number)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """Other clients that use the same key for a while, at a constant rate.

    Attributes:
        since: time of their first call.
        until: time of their end.
        requests: their calls per minute.
        tokens: tokens of each call.
    """

    since: float
    until: float
    requests: float
    tokens: int = 1000


@dataclass(kw_only=True)
class ModelServer:
    """A provider as seen from outside: it admits a call, takes its time, or refuses it.

    Attributes:
        seconds: median duration of a call while few are in flight.
        ranges: shortest and longest duration by step; replaces the median for these steps.
        samples: durations to draw from by step; replaces the range for these steps.
        spread: standard deviation of the duration's logarithm.
        concurrency: calls in flight above which it refuses calls.
        requests: requests that it accepts in any minute.
        tokens: tokens that it accepts in any minute, charged when a call arrives.
        charged: charged tokens of a request ÷ its estimated tokens.
        others: other clients that use its quota.
        headers: whether its answers report its quotas.
        retry_after: whether its refusals name the seconds to wait.
        knee: calls in flight above which calls only get slower.
        slope: relative slowdown at the knee against a single call: 0.5 is half as long again.
        waste: throughput lost above the knee: with n times its calls in flight, the throughput
            is ``n ** -waste`` of that at the knee.
        round_trip: seconds until a refusal arrives.
        window: length of the provider's minute in seconds.
        admitted: times of accepted calls, each with the number of calls then in flight.
        answered: times of answered calls.
        refused: times of refused calls.
    """

    seconds: float = 10.0
    ranges: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    spread: float = 0.25
    concurrency: Steps | None = None
    requests: Steps | None = None
    tokens: Steps | None = None
    charged: float = 1.0
    others: Sequence[Others] = ()
    headers: bool = False
    retry_after: bool = False
    knee: int | None = None
    slope: float = 0.0
    waste: float = 0.0
    round_trip: float = 0.05
    window: float = MINUTE
    seed: int = 0
    in_flight: int = 0
    admitted: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    answered: list[float] = field(default_factory=list[float])
    refused: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311
        self._minute: deque[tuple[float, int]] = deque()
        self._used = 0
        self._calls_of_others = _calls_of(self.others, self.window)
        self._shared = SharedServer(self._speed)

    @property
    def peak(self) -> int:
        """Highest number of calls in flight at once."""
        return max((calls for _, calls in self.admitted), default=0)

    async def call(self, tokens: int = 0, step: str = "") -> Done | RateLimited:
        """Serve a call, or refuse it.

        Args:
            tokens: tokens that it is charged.
            step: the step that determines its duration.
        """
        loop = asyncio.get_running_loop()
        since = loop.time()
        self._catch_up(since)
        wait = self._obstacle(since, tokens)
        if wait is not None:
            self.refused.append(since)
            info = self._rate_limit_info(since)
            await asyncio.sleep(self.round_trip)
            return RateLimited(wait if self.retry_after else None, info)
        self._charge(since, tokens)
        self.in_flight += 1
        self.admitted.append((since, self.in_flight))
        info = self._rate_limit_info(since)
        work = self._duration(step)
        try:
            if self.knee is None:
                await asyncio.sleep(work)
            else:
                await self._shared.serve(work)
        finally:
            self.in_flight -= 1
        self.answered.append(loop.time())
        return Done(tokens, loop.time() - since, info)

    def _duration(self, step: str) -> float:
        if step in self.samples:
            middle = self._random.choice(self.samples[step])
        else:
            known = self.ranges.get(step)
            middle = self.seconds if known is None else self._random.uniform(*known)
        return middle * self._random.lognormvariate(0.0, self.spread) if self.spread else middle

    def _catch_up(self, now: float) -> None:
        """Process the calls of others, and drop requests older than a minute."""
        while self._calls_of_others and self._calls_of_others[0][0] <= now:
            at, tokens = self._calls_of_others.popleft()
            self._expire(at)
            if self._until_room(at, tokens) is None:
                self._charge(at, tokens)
        self._expire(now)

    def _expire(self, now: float) -> None:
        while self._minute and self._minute[0][0] <= now - self.window:
            self._used -= self._minute.popleft()[1]

    def _charge(self, now: float, tokens: int) -> None:
        self._minute.append((now, tokens))
        self._used += tokens

    def _obstacle(self, now: float, tokens: int) -> float | None:
        """Seconds until such a call would be accepted; ``None``: it is accepted now."""
        if self.concurrency is not None and self.in_flight >= self.concurrency.at(now):
            return 1.0
        return self._until_room(now, tokens)

    def _until_room(self, now: float, tokens: int) -> float | None:
        """Seconds until the quota has room for such a call; ``None``: it has room now."""
        if self.requests is not None:
            too_many = len(self._minute) + 1 - self.requests.at(now)
            if too_many > 0:
                return self._minute[too_many - 1][0] + self.window - now
        if self.tokens is not None and self._used + tokens > self.tokens.at(now):
            too_much = self._used + tokens - self.tokens.at(now)
            for since, charged in self._minute:
                too_much -= charged
                if too_much <= 0:
                    return since + self.window - now
            return self.window
        return None

    def _rate_limit_info(self, now: float) -> RateLimitInfo | None:
        if not self.headers:
            return None
        requests = None if self.requests is None else self.requests.at(now)
        tokens = None if self.tokens is None else self.tokens.at(now)
        return RateLimitInfo(
            requests=requests,
            requests_left=None if requests is None else max(0, requests - len(self._minute)),
            tokens=tokens,
            tokens_left=None if tokens is None else max(0, tokens - self._used),
        )

    def _speed(self, calls: int) -> float:
        """Speed of each of this many calls; 1 is the speed of a single call."""
        knee = self.knee or calls
        speed = 1.0 / (1.0 + self.slope * min(1.0, calls / knee))
        return speed if calls <= knee else speed * (knee / calls) ** (1.0 + self.waste)


def _calls_of(others: Sequence[Others], window: float) -> deque[tuple[float, int]]:
    """Time and tokens of each call of others."""
    return deque(
        sorted(
            (one.since + number * window / one.requests, one.tokens)
            for one in others
            for number in range(int((one.until - one.since) * one.requests / window))
        )
    )


def headers_of(info: RateLimitInfo | None) -> dict[str, str]:
    """The headers that report these numbers."""
    if info is None:
        return {}
    numbers = {
        "limit-requests": info.requests,
        "remaining-requests": info.requests_left,
        "limit-tokens": info.tokens,
        "remaining-tokens": info.tokens_left,
    }
    return {f"x-ratelimit-{name}": f"{n}" for name, n in numbers.items() if n is not None}
