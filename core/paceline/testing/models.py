"""Models of providers, in virtual time: what they take at once, a minute, and how slow they get.

Each is what is seen of a provider from outside; nothing here knows how it comes about. They are
for trying strategies on: `call` is what becomes of one call that was admitted.
"""

import asyncio
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from paceline.headroom import Headroom
from paceline.work import Done, Refused

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Steps:
    """A number that changes in time.

    Attributes:
        steps: (second from which it holds, number), in order; the first at 0.
    """

    steps: Sequence[tuple[float, int]]

    def at(self, now: float) -> int:
        """The number at a time."""
        return next(number for since, number in reversed(self.steps) if since <= now)


def always(number: int) -> Steps:
    """A number that stays."""
    return Steps([(0.0, number)])


@dataclass(kw_only=True)
class ModelProvider:
    """One provider.

    Attributes:
        seconds: median length of a call while few are in flight.
        spread: standard deviation of its logarithm.
        concurrency: calls in flight above which it refuses.
        requests: requests that it takes in any minute.
        tokens: tokens likewise, charged as a call comes.
        headers: whether it tells of its quotas.
        retry_after: whether it tells those it refuses when to come again.
        knee: calls in flight above which calls only get slower.
        slope: how much slower calls are at the knee than alone: 0.5 half as long again.
        waste: how much is lost above the knee: with n times its calls in flight, all of them
            together get ``n ** -waste`` of what they get at the knee.
        round_trip: seconds until a refusal is heard of.
        seed: of the calls' lengths.
    """

    seconds: float = 10.0
    spread: float = 0.25
    concurrency: Steps | None = None
    requests: Steps | None = None
    tokens: Steps | None = None
    headers: bool = False
    retry_after: bool = False
    knee: int | None = None
    slope: float = 0.0
    waste: float = 0.0
    round_trip: float = 0.05
    seed: int = 0
    in_flight: int = 0
    answered: list[float] = field(default_factory=list[float])
    refused: list[float] = field(default_factory=list[float])
    peak: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311
        self._minute: deque[tuple[float, int]] = deque()
        self._used = 0
        self._shared = _SharedServer(self._speed)

    async def call(self, tokens: int = 0) -> Done | Refused:
        """Serve a call, or refuse it."""
        loop = asyncio.get_running_loop()
        wait = self._obstacle(loop.time(), tokens)
        if wait is not None:
            self.refused.append(loop.time())
            said = self._headroom(loop.time())
            await asyncio.sleep(self.round_trip)
            return Refused(wait if self.retry_after else None, said)
        self._minute.append((loop.time(), tokens))
        self._used += tokens
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        since, said = loop.time(), self._headroom(loop.time())
        work = self.seconds * self._chance.lognormvariate(0.0, self.spread)
        try:
            if self.knee is None:
                await asyncio.sleep(work)
            else:
                await self._shared.serve(work)
        finally:
            self.in_flight -= 1
        self.answered.append(loop.time())
        return Done(tokens, loop.time() - since, said)

    def _obstacle(self, now: float, tokens: int) -> float | None:
        """Seconds until such a call would be taken; ``None``: it is."""
        if self.concurrency is not None and self.in_flight >= self.concurrency.at(now):
            return 1.0
        while self._minute and self._minute[0][0] <= now - MINUTE:
            self._used -= self._minute.popleft()[1]
        if self.requests is not None and len(self._minute) >= self.requests.at(now):
            return self._minute[0][0] + MINUTE - now
        if self.tokens is not None and self._used + tokens > self.tokens.at(now):
            too_much = self._used + tokens - self.tokens.at(now)
            for since, charged in self._minute:
                too_much -= charged
                if too_much <= 0:
                    return since + MINUTE - now
            return MINUTE
        return None

    def _headroom(self, now: float) -> Headroom | None:
        if not self.headers:
            return None
        requests = None if self.requests is None else self.requests.at(now)
        tokens = None if self.tokens is None else self.tokens.at(now)
        return Headroom(
            requests=requests,
            requests_left=None if requests is None else max(0, requests - len(self._minute)),
            tokens=tokens,
            tokens_left=None if tokens is None else max(0, tokens - self._used),
        )

    def _speed(self, calls: int) -> float:
        """How fast each of so many calls gets on; 1: as one alone would."""
        knee = self.knee or calls
        speed = 1.0 / (1.0 + self.slope * min(1.0, calls / knee))
        return speed if calls <= knee else speed * (knee / calls) ** (1.0 + self.waste)


class _SharedServer:
    """Serves all calls at once, each at a speed that their number gives (processor sharing).

    All get on alike, so one sum says how far everybody is, and who needs least is next.
    """

    def __init__(self, speed: Callable[[int], float]) -> None:
        self._speed = speed
        self._done = 0.0
        self._since = 0.0
        self._order = itertools.count()
        self._calls: list[tuple[float, int, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self, work: float) -> None:
        """Wait until a call that takes so long alone is served."""
        loop = asyncio.get_running_loop()
        self._advance(loop.time())
        served = loop.create_future()
        call = (self._done + work, next(self._order), served)
        heapq.heappush(self._calls, call)
        self._arm(loop)
        try:
            await served
        except asyncio.CancelledError:
            self._advance(loop.time())
            if call in self._calls:
                self._calls.remove(call)
                heapq.heapify(self._calls)
            self._arm(loop)
            raise

    def _advance(self, now: float) -> None:
        if self._calls:
            self._done += (now - self._since) * self._speed(len(self._calls))
        self._since = now

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._calls:
            left = max(0.0, self._calls[0][0] - self._done)
            self._timer = loop.call_later(left / self._speed(len(self._calls)), self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._advance(loop.time())
        while self._calls and self._calls[0][0] <= self._done + 1e-9:
            served = heapq.heappop(self._calls)[2]
            if not served.done():  # cancelled in the same moment
                served.set_result(None)
        self._arm(loop)
