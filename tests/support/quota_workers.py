"""Workers under one quota, and a provider that counts the calls that reach it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from paceline import Done, Failed, Work
from paceline.admission import LiveControls
from paceline.contracts.admission.ledger import Ledger, Quota
from paceline.contracts.admission.work import Permit, RateLimited
from paceline.contracts.controls import Controls, LimitOverride
from paceline.contracts.share import Priority
from paceline.testing.lease_ledger import LeaseLedger, LedgerConnection
from paceline_strategies.global_limit import GlobalLimit

KEY = "openai:gpt"


def call(
    run: str = "run",
    tokens: int = 0,
    *,
    tenant: str = "",
    weight: float = 1.0,
    priority: Priority = "normal",
) -> Work:
    """A call of some run."""
    return Work(
        level="call",
        run_id=run,
        roadmap_id=run,
        concept_id="c",
        key=KEY,
        step="tutorial",
        tokens=tokens,
        tenant=tenant,
        weight=weight,
        priority=priority,
    )


@dataclass
class Counting:
    """The calls that reached the provider: time, tokens and run."""

    reached: list[tuple[float, int, str]] = field(default_factory=list[tuple[float, int, str]])
    out: int = 0
    peak: int = 0

    def most_in_a_minute(self, what: Callable[[int], int]) -> int:
        """The largest sum of ``what(tokens)`` in any minute."""
        most = total = first = 0
        reached = sorted(self.reached)
        for when, tokens, _ in reached:
            total += what(tokens)
            while reached[first][0] <= when - 60:
                total -= what(reached[first][1])
                first += 1
            most = max(most, total)
        return most

    def tokens_of(self, run: str, *, since: float = 0.0, until: float = 1e9) -> int:
        """Tokens of a run in a span of time."""
        return sum(t for when, t, r in self.reached if r == run and since <= when < until)


class Office:
    """Several worker processes over one ledger, in virtual time.

    Args:
        quota: what they share.
        workers: how many.
        seed: of all that is random.
    """

    def __init__(
        self, quota: Quota, *, workers: int = 3, seed: int = 1, ledger: Ledger | None = None
    ) -> None:
        self.quota = quota
        self.ledger = ledger or LeaseLedger()
        self.provider = Counting()
        self.chance = random.Random(seed)
        self.lines = [LedgerConnection(self.ledger) for _ in range(workers)]
        self.controls = [LiveControls() for _ in range(workers)]
        self.workers = [
            GlobalLimit(quota, line, holder=f"w{n}", controls=self.controls[n])
            for n, line in enumerate(self.lines)
        ]
        self.tasks: set[asyncio.Task[None]] = set()
        self._callers: dict[int, list[asyncio.Task[None]]] = {n: [] for n in range(workers)}

    async def call(
        self,
        worker: int,
        work: Work,
        *,
        seconds: float,
        real: int | None = None,
        fails: float = 0.0,
    ) -> None:
        """Make one call: it reaches the provider a little after it was admitted."""
        permit: Permit = await self.workers[worker].admit(work)
        outcome: Done | Failed | RateLimited = Failed(arrived=True)
        provider = self.provider
        counted = work.tokens if real is None else real
        try:
            await asyncio.sleep(self.chance.uniform(0, 0.4))
            provider.out += 1
            provider.peak = max(provider.peak, provider.out)
            provider.reached.append((asyncio.get_running_loop().time(), counted, work.run_id))
            try:
                await asyncio.sleep(seconds)
            finally:
                provider.out -= 1
            if self.chance.random() >= fails:
                outcome = Done(counted, seconds)
        finally:
            permit.release(outcome)

    def start(self, calling: Awaitable[None]) -> "asyncio.Task[None]":
        """Run a coroutine in the background."""
        task = asyncio.ensure_future(calling)
        self.tasks.add(task)
        return task

    def busy(
        self,
        worker: int,
        run: str,
        *,
        callers: int,
        tokens: int = 0,
        seconds: float = 10.0,
        weight: float = 1.0,
        tenant: str = "",
        real: float = 1.0,
        fails: float = 0.0,
        priority: Priority = "normal",
    ) -> None:
        """A run that always has this number of calls waiting or in flight."""

        async def caller() -> None:
            while True:
                most = self.chance.randint(max(1, tokens // 2), 3 * tokens // 2) if tokens else 0
                work = call(run, most, tenant=tenant, weight=weight, priority=priority)
                lasts = seconds * self.chance.uniform(0.5, 1.5)
                await self.call(worker, work, seconds=lasts, real=round(most * real), fails=fails)

        self._callers[worker] += [self.start(caller()) for _ in range(callers)]

    async def change(self, version: int, *, spread: float = 2.0, **values: int) -> None:
        """Change limits: each worker learns it with its next beat, at another time."""
        limit = LimitOverride(limit="global", key=KEY, values=values, version=version)

        async def learn(worker: int) -> None:
            await asyncio.sleep(self.chance.uniform(0, spread) if worker else 0)
            self.controls[worker].update(Controls(version=version, limits=(limit,)))
            self.workers[worker].limits_changed()

        learning = [self.start(learn(worker)) for worker in range(len(self.workers))]
        await learning[0]

    def crash(self, worker: int) -> None:
        """Kill a worker with its calls; the ledger gets no more messages from it."""
        self.lines[worker].cut()
        for task in self._callers[worker]:
            task.cancel()

    async def end(self) -> None:
        """Stop all calls and close all workers."""
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        for worker in self.workers:
            await worker.close()
