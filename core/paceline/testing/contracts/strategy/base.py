"""What an author declares about a strategy, and the helpers of the suite."""

import asyncio
import contextlib
from typing import ClassVar

from paceline.contracts.admission.ledger import Ledger
from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.admission.work import (
    Done,
    Failed,
    Level,
    Outcome,
    Permit,
    RateLimited,
    Work,
)
from paceline.testing.contracts.contract import Contract
from paceline.testing.lease_ledger import LeaseLedger

OUTCOMES: tuple[Outcome, ...] = (Done(tokens=10, seconds=1.0), RateLimited(1.0), Failed())


class StrategyScenarios(Contract):
    """How the suite makes strategies and work, and uses them."""

    limit: ClassVar[int | None] = None
    least: ClassVar[int | None] = None
    level: ClassVar[Level] = "call"
    per: ClassVar[str] = ""
    fair: ClassVar[bool] = True
    shared: bool = False
    settles: ClassVar[float] = 1.0
    holds_refusals: ClassVar[bool] = False

    def strategy(self, ledger: Ledger) -> Strategy:
        """Make your strategy, as a new worker process would; called on the event loop.

        Args:
            ledger: the ledger that the workers share.
        """
        raise NotImplementedError(
            f"{type(self).__name__}.strategy() must return the strategy to test"
        )

    def ledger(self) -> Ledger:
        """Make the ledger that the workers of one scenario share."""
        return LeaseLedger()

    # -- helpers of the suite ----------------------------------------------------------------

    def shared_ledger(self) -> Ledger:
        """A ledger, closed at the end of the scenario."""
        ledger = self.ledger()
        self.opened.push_async_callback(ledger.close)
        return ledger

    def worker(self, ledger: Ledger | None = None) -> Strategy:
        """The strategy of one worker, closed at the end of the scenario."""
        strategy = self.strategy(ledger or self.shared_ledger())
        self.opened.push_async_callback(strategy.close)
        return strategy

    def room(self) -> int:
        """Number of permits that can be out at once in any case."""
        return 8 if self.limit is None else self.least or self.limit

    def work(self, run: int = 0, model: int = 0, *, level: Level | None = None) -> Work:
        """Work of one of the runs, for one of the models."""
        level = level or self.level
        call = level == "call"
        return Work(
            level=level,
            run_id=f"run-{run}",
            roadmap_id=f"roadmap-{run}",
            concept_id="concept",
            key=f"provider:model-{model}",
            step="tutorial" if call else None,
            tokens=100 if call else 0,
        )

    def group(self, work: Work) -> str:
        """The value that has a limit of its own, of this work."""
        return str(getattr(work, self.per)) if self.per else "all work"

    async def got(self, strategy: Strategy, work: Work, why: str, *, after: float = 0.0) -> Permit:
        """Get a permit, within the time that the strategy takes to settle.

        Args:
            strategy: the strategy.
            work: the work to admit.
            why: message of the failure if no permit arrives.
            after: seconds that the wait may take longer.
        """
        # In real time the machine may be busy, and nothing is late that arrives in the end.
        patience = self.settles if self.virtual else max(self.settles, 10.0)
        try:
            async with asyncio.timeout(after + patience):
                return await strategy.admit(work)
        except TimeoutError:
            raise AssertionError(why) from None

    async def cancelled(self, *waits: "asyncio.Task[Permit] | asyncio.Task[None]") -> None:
        """Cancel waiters. Each must end at once, with a permit or without."""
        for task in waits:
            task.cancel()
        waiting = (await asyncio.wait(waits, timeout=self.settles))[1] if waits else set[object]()
        assert not waiting, (
            "cancelled in vain: `admit` was cancelled and still waits; let CancelledError out"
        )
        for task in waits:
            error = None if task.cancelled() else task.exception()
            assert error is None, (
                f"fault on cancel: `admit` was cancelled and raised {error!r}; release the "
                "permit that it was granted, wake the next waiter, and let CancelledError out"
            )

    async def full(self, strategy: Strategy, work: Work | None = None) -> list[Permit]:
        """Get all permits that can be out at once, and at least as many as ``room`` says."""
        wanted = work or self.work()
        held = [
            await self.got(
                strategy, wanted, f"only {number} of {self.room()} permits can be out at once"
            )
            for number in range(self.room())
        ]
        if self.limit is not None and self.least is not None:
            with contextlib.suppress(TimeoutError):
                while len(held) < self.limit:
                    async with asyncio.timeout(self.settles):
                        held.append(await strategy.admit(wanted))
        return held

    async def waiting(self, strategy: Strategy, work: Work | None = None) -> "asyncio.Task[Permit]":
        """Start a waiter while the strategy is full."""
        task = asyncio.create_task(strategy.admit(work or self.work()))
        await asyncio.sleep(self.settles)
        assert not task.done(), (
            f"overrun: one more permit came out while {self.limit} are out and "
            f"`limit = {self.limit}`; count a permit before `admit` awaits anything, and check "
            "the limit again after each await"
        )
        return task
