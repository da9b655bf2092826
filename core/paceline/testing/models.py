"""A model of a provider, in virtual time: what it takes at once, a minute, and how slow it gets.

It is what is seen of a provider from outside; nothing here knows how it comes about. It is for
trying strategies on: ``call`` is what becomes of one call that was admitted, and as a
``Provider`` it stands behind a whole pipeline.
"""

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paceline.contracts.provider import Completion, CompletionRequest, Provider
from paceline.contracts.work import Done, RateLimited, RateLimitInfo
from paceline.errors import Refused as RefusedCall
from paceline.testing.scripted import plain_answer
from paceline.testing.shared_server import SharedServer

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """Somebody else who uses the key for a time, evenly.

    Attributes:
        since: when the first call comes.
        until: when no more do.
        requests: a minute.
        tokens: of each.
    """

    since: float
    until: float
    requests: float
    tokens: int = 1000


@dataclass(kw_only=True)
class ModelProvider(Provider):
    """One provider.

    Attributes:
        seconds: median length of a call while few are in flight.
        ranges: shortest and longest by step instead, where that is known.
        spread: standard deviation of its logarithm.
        concurrency: calls in flight above which it refuses.
        requests: requests that it takes in any minute.
        tokens: tokens likewise, charged as a call comes.
        charged: tokens that a request is charged, divided by what it is estimated to cost.
        others: who else uses its quota.
        headers: whether it tells of its quotas.
        retry_after: whether it tells those it refuses when to come again.
        knee: calls in flight above which calls only get slower.
        slope: how much slower calls are at the knee than alone: 0.5 half as long again.
        waste: how much is lost above the knee: with n times its calls in flight, all of them
            together get ``n ** -waste`` of what they get at the knee.
        round_trip: seconds until a refusal is heard of.
        seed: of the calls' lengths.
        key: provider and model.
        in_flight: calls in flight now.
        admitted: when calls were let in, and how many were in flight then.
        answered: when calls were answered.
        refused: when calls were refused.
    """

    seconds: float = 10.0
    ranges: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )
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
    seed: int = 0
    key: str = "provider:model"
    in_flight: int = 0
    admitted: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    answered: list[float] = field(default_factory=list[float])
    refused: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311
        self._minute: deque[tuple[float, int]] = deque()
        self._used = 0
        self._coming = _coming(self.others)
        self._shared = SharedServer(self._speed)

    @property
    def peak(self) -> int:
        """Most calls that were in flight at once."""
        return max((calls for _, calls in self.admitted), default=0)

    async def complete(self, request: CompletionRequest) -> Completion:
        """Answer shortly and validly, if a built-in step asks.

        Raises:
            paceline.errors.Refused: the call was refused.
        """
        charged = round(self.charged * request.estimated_tokens())
        outcome = await self.call(charged, request.step)
        said = _headers(outcome.rate_limit_info)
        if isinstance(outcome, RateLimited):
            raise RefusedCall("Too much for now.", outcome.retry_after, said)
        return Completion(
            text=plain_answer(request.step),
            model=self.key,
            prompt_tokens=max(1, charged - request.max_tokens),
            completion_tokens=1,
            ratelimits=said,
        )

    async def call(self, tokens: int = 0, step: str = "") -> Done | RateLimited:
        """Serve a call, or refuse it.

        Args:
            tokens: what it is charged.
            step: whose length it takes.
        """
        loop = asyncio.get_running_loop()
        since = loop.time()
        self._pass(since)
        wait = self._obstacle(since, tokens)
        if wait is not None:
            self.refused.append(since)
            said = self._headroom(since)
            await asyncio.sleep(self.round_trip)
            return RateLimited(wait if self.retry_after else None, said)
        self._charge(since, tokens)
        self.in_flight += 1
        self.admitted.append((since, self.in_flight))
        said = self._headroom(since)
        work = self._length(step)
        try:
            if self.knee is None:
                await asyncio.sleep(work)
            else:
                await self._shared.serve(work)
        finally:
            self.in_flight -= 1
        self.answered.append(loop.time())
        return Done(tokens, loop.time() - since, said)

    def _length(self, step: str) -> float:
        chance, known = self._chance, self.ranges.get(step)
        middle = self.seconds if known is None else chance.uniform(*known)
        return middle * chance.lognormvariate(0.0, self.spread) if self.spread else middle

    def _pass(self, now: float) -> None:
        """Let pass what happened since the last call: others' calls, and the end of minutes."""
        while self._coming and self._coming[0][0] <= now:
            at, tokens = self._coming.popleft()
            self._expire(at)
            if self._until_room(at, tokens) is None:
                self._charge(at, tokens)
        self._expire(now)

    def _expire(self, now: float) -> None:
        while self._minute and self._minute[0][0] <= now - MINUTE:
            self._used -= self._minute.popleft()[1]

    def _charge(self, now: float, tokens: int) -> None:
        self._minute.append((now, tokens))
        self._used += tokens

    def _obstacle(self, now: float, tokens: int) -> float | None:
        """Seconds until such a call would be taken; ``None``: it is."""
        if self.concurrency is not None and self.in_flight >= self.concurrency.at(now):
            return 1.0
        return self._until_room(now, tokens)

    def _until_room(self, now: float, tokens: int) -> float | None:
        """Seconds until the quota has room for such a call; ``None``: it has."""
        if self.requests is not None:
            too_many = len(self._minute) + 1 - self.requests.at(now)
            if too_many > 0:
                return self._minute[too_many - 1][0] + MINUTE - now
        if self.tokens is not None and self._used + tokens > self.tokens.at(now):
            too_much = self._used + tokens - self.tokens.at(now)
            for since, charged in self._minute:
                too_much -= charged
                if too_much <= 0:
                    return since + MINUTE - now
            return MINUTE
        return None

    def _headroom(self, now: float) -> RateLimitInfo | None:
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
        """How fast each of so many calls gets on; 1: as one alone would."""
        knee = self.knee or calls
        speed = 1.0 / (1.0 + self.slope * min(1.0, calls / knee))
        return speed if calls <= knee else speed * (knee / calls) ** (1.0 + self.waste)


def _coming(others: Sequence[Others]) -> deque[tuple[float, int]]:
    """When each call of others comes, and its tokens."""
    return deque(
        sorted(
            (one.since + number * MINUTE / one.requests, one.tokens)
            for one in others
            for number in range(int((one.until - one.since) * one.requests / MINUTE))
        )
    )


def _headers(said: RateLimitInfo | None) -> dict[str, str]:
    """The headers that say so."""
    if said is None:
        return {}
    numbers = {
        "limit-requests": said.requests,
        "remaining-requests": said.requests_left,
        "limit-tokens": said.tokens,
        "remaining-tokens": said.tokens_left,
    }
    return {f"x-ratelimit-{name}": f"{n}" for name, n in numbers.items() if n is not None}
