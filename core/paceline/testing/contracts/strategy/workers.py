"""All workers together, by what they share."""

import asyncio

from paceline.contracts.work import Done
from paceline.testing.contracts.contract import when
from paceline.testing.contracts.strategy.base import StrategyScenarios
from paceline.testing.lease_ledger import LedgerLine


class StrategyWorkers(StrategyScenarios):
    """One limit over several workers."""

    @when("shared")
    def test_all_workers_together_keep_the_limit(self) -> None:
        """Overrun: a second worker finds what the first one left."""

        async def scenario() -> None:
            ledger = self.between_workers()
            first, second = self.worker(ledger), self.worker(ledger)
            held = await self.full(first)
            waits = await self.waiting(second)
            held.pop().release(Done())
            async with asyncio.timeout(self.settles):
                held.append(await waits)
            for permit in held:
                permit.release(Done())

        self.play(scenario())

    @when("shared")
    def test_a_dead_workers_permits_come_back(self) -> None:
        """Permits of a worker that died are free when its leases have ended, not before."""

        async def scenario() -> None:
            ledger = self.between_workers()
            line = LedgerLine(ledger)
            dead, alive = self.strategy(line), self.worker(ledger)
            await self.full(dead)
            line.cut()
            waits = await self.waiting(alive)
            await asyncio.sleep(ledger.lease_seconds)
            await asyncio.wait({waits}, timeout=self.settles)
            assert waits.done(), (
                f"a dead worker keeps its permits: {ledger.lease_seconds:g} s after it fell "
                "silent they are not free; hold them as leases of `context.ledger()`"
            )
            waits.result().release(Done())

        self.play(scenario())

    @when("shared")
    def test_permits_live_on_while_their_worker_does(self) -> None:
        """Overrun: leases are renewed as long as their permits are out."""

        async def scenario() -> None:
            ledger = self.between_workers()
            first, second = self.worker(ledger), self.worker(ledger)
            held = await self.full(first)
            await asyncio.sleep(3 * ledger.lease_seconds)
            waits = await self.waiting(second)
            waits.cancel()
            for permit in held:
                permit.release(Done())

        self.play(scenario())

    @when("shared")
    def test_closing_gives_everything_back_at_once(self) -> None:
        """A worker that ends in order leaves nothing to wait for."""

        async def scenario() -> None:
            ledger = self.between_workers()
            first, second = self.strategy(ledger), self.worker(ledger)
            await self.full(first)
            await first.close()
            for permit in await self.full(second):
                permit.release(Done())

        self.play(scenario())

    # -- in any order ----------------------------------------------------------------------
