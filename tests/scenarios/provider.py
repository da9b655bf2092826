"""A provider as a scenario describes it, in virtual time."""

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable

from paceline.errors import Refused
from paceline.provider import Completion, CompletionRequest, Provider
from paceline.testing.scripted import plain_answer
from paceline_adapters.simulator.quota import Quota

from tests.scenarios.scenario import Change, Foreign, ProviderModel

#: Seconds until a refusal arrives.
_ROUND_TRIP = 0.05


class ModelProvider(Provider):
    """Serves all calls at one speed, which falls when there are more than it can.

    Work goes on as on a shared processor: each call needs its unloaded seconds of service, and a
    second of time gives each call in flight ``1 / stretch`` of one.

    Args:
        model: how it behaves.
        key: its name.
        seed: of latencies.
    """

    def __init__(self, model: ProviderModel, *, key: str, seed: int) -> None:
        self.key = key
        self._model = model
        self._chance = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._now = Change(at=0, capacity=model.capacity, rpm=model.rpm, tpm=model.tpm)
        self._knee = model.knee
        self._quota = self._made()
        self._foreign = 0
        self._served, self._at = 0.0, self._loop.time()
        self._ends: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self.in_flight = 0
        #: (when, calls in flight) at each admission, and when calls were refused.
        self.admitted: list[tuple[float, int]] = []
        self.refused: list[float] = []
        for change in model.change:
            self._loop.call_at(change.at, self._change, change)
        for foreign in model.foreign:
            self._loop.call_at(foreign.since, self._use, foreign, 1)
            self._loop.call_at(foreign.until, self._use, foreign, -1)

    async def complete(self, request: CompletionRequest) -> Completion:
        """Answer as soon as the call had its service."""
        now = self._loop.time()
        charged = round(self._model.charged * request.estimated_tokens())
        in_flight = self.in_flight + self._foreign
        refusal = self._quota.admit(now, tokens=charged, in_flight=in_flight)
        if refusal is not None:
            self.refused.append(now)
            await asyncio.sleep(_ROUND_TRIP)
            after = refusal.retry_after if self._model.retry_after else None
            raise Refused(refusal.message, after, self._headers())
        self._count(1)
        self.admitted.append((now, self.in_flight))
        try:
            await self._service(request.step)
        finally:
            self._count(-1)
        return Completion(
            text=plain_answer(request.step),
            model=self.key,
            prompt_tokens=max(1, charged - request.max_tokens),
            completion_tokens=1,
            ratelimits=self._headers(),
        )

    def _headers(self) -> dict[str, str]:
        return self._quota.headers(self._loop.time()) if self._model.headers else {}

    async def _service(self, step: str) -> None:
        low, high = self._model.latency[step]
        wanted = self._chance.uniform(low, high) * self._now.slower
        if self._model.spread:
            wanted *= self._chance.lognormvariate(0, self._model.spread)
        done: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._ends, (self._served + wanted, next(self._numbers), done))
        self._set_timer()
        await done

    def _stretch(self) -> float:
        if self._knee is None:
            return 1.0
        load = self.in_flight / self._knee
        return (1 + self._model.slope * min(1.0, load)) * max(1.0, load)

    def _advance(self) -> None:
        now = self._loop.time()
        self._served += (now - self._at) / self._stretch()
        self._at = now

    def _count(self, change: int) -> None:
        self._advance()
        self.in_flight += change
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ends:
            left = max(0.0, self._ends[0][0] - self._served) * self._stretch()
            self._timer = self._loop.call_later(left, self._serve)

    def _serve(self) -> None:
        self._advance()
        self._timer = None
        while self._ends and self._ends[0][0] <= self._served + 1e-9:
            done = heapq.heappop(self._ends)[2]
            if not done.done():
                done.set_result(None)
        self._set_timer()

    def _made(self) -> Quota:
        now = self._now
        return Quota(requests=now.rpm, tokens=now.tpm, concurrency=now.capacity)

    def _change(self, change: Change) -> None:
        self._advance()
        self._now = self._now.model_copy(
            update={name: getattr(change, name) for name in change.model_fields_set}
        )
        self._knee = change.knee or self._knee
        window = self._quota.window
        self._quota = self._made()
        self._quota.window = window
        self._set_timer()

    def _use(self, foreign: Foreign, change: int) -> None:
        self._foreign += change * foreign.in_flight
        if change > 0 and foreign.rpm:
            self._every(60 / foreign.rpm, foreign.until, self._call_of_somebody_else)

    def _call_of_somebody_else(self) -> None:
        self._quota.admit(self._loop.time(), tokens=1000, in_flight=0)

    def _every(self, seconds: float, until: float, call: Callable[[], None]) -> None:
        if self._loop.time() < until:
            call()
            self._loop.call_later(seconds, self._every, seconds, until, call)
