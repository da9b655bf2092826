"""One limit over several workers that share a ledger."""

import asyncio

from paceline.contracts.admission.work import Done
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.strategy.base import StrategyScenarios
from paceline.testing.lease_ledger import LedgerConnection


class StrategyWorkers(StrategyScenarios):
    """One limit over several workers."""

    @when("shared")
    @scenario
    async def test_all_workers_together_keep_the_limit(self) -> None:
        """Overrun: a second worker gets the permits that the first one left."""
        ledger = self.shared_ledger()
        first, second = self.worker(ledger), self.worker(ledger)
        held = await self.full(first)
        waits = await self.waiting(second)
        held.pop().release(Done())
        async with asyncio.timeout(self.settles):
            held.append(await waits)
        for permit in held:
            permit.release(Done())

    @when("shared")
    @scenario
    async def test_permits_of_a_dead_worker_are_freed(self) -> None:
        """The permits of a dead worker are free when its leases have expired, and not before."""
        ledger = self.shared_ledger()
        connection = LedgerConnection(ledger)
        dead, alive = self.strategy(connection), self.worker(ledger)
        await self.full(dead)
        connection.cut()
        waits = await self.waiting(alive)
        await asyncio.sleep(ledger.lease_seconds)
        await asyncio.wait({waits}, timeout=self.settles)
        assert waits.done(), (
            f"a dead worker keeps its permits: {ledger.lease_seconds:g} s after its death "
            "they are not free; hold them as leases of `context.ledger()`"
        )
        waits.result().release(Done())

    @when("shared")
    @scenario
    async def test_leases_are_renewed_while_their_worker_lives(self) -> None:
        """Overrun: leases are renewed while their permits are out."""
        ledger = self.shared_ledger()
        first, second = self.worker(ledger), self.worker(ledger)
        held = await self.full(first)
        await asyncio.sleep(3 * ledger.lease_seconds)
        waits = await self.waiting(second)
        waits.cancel()
        for permit in held:
            permit.release(Done())

    @when("shared")
    @scenario
    async def test_closing_releases_all_permits_at_once(self) -> None:
        """The permits of a closed worker are free at once."""
        ledger = self.shared_ledger()
        first, second = self.strategy(ledger), self.worker(ledger)
        await self.full(first)
        await first.close()
        for permit in await self.full(second):
            permit.release(Done())
