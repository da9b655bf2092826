"""What an author declares for a store, and checks that the suite shares."""

import asyncio
from collections.abc import Awaitable
from typing import ClassVar

from paceline.contracts.storage.records import Claim
from paceline.contracts.storage.store import Store
from paceline.errors import StaleFence
from paceline.testing.contracts.contract import Contract
from paceline.testing.contracts.store.inputs import artifact, done


class StoreScenarios(Contract):
    """How the suite makes stores, and how time passes for them."""

    shared: bool = True
    clock: ClassVar[bool] = False
    steps: ClassVar[int] = 25

    def store(self) -> Store:
        """Make your store without opening it. Called on the event loop.

        Each call stands for another process that opens the test's database, which is empty when
        the test starts.
        """
        raise NotImplementedError(f"{type(self).__name__}.store() makes the store to test")

    async def advance(self, seconds: float) -> None:
        """Let time pass by the store's clock. Called only if you declare ``clock``."""
        await asyncio.sleep(seconds)

    async def opened_store(self) -> Store:
        """An open store. It is closed at the end of the scenario."""
        store = self.store()
        await store.open()
        self.opened.push_async_callback(store.close)
        return store

    async def processes(self, count: int) -> list[Store]:
        """Open stores for a number of processes: one store for all of them unless ``shared``."""
        if not self.shared:
            return [await self.opened_store()] * count
        return [await self.opened_store() for _ in range(count)]


async def refused(claim: Claim, what: str, write: Awaitable[object]) -> None:
    """Check that a write is refused with an error that names the run."""
    stale: StaleFence | None = None
    try:
        await write
    except StaleFence as error:
        stale = error
    assert stale is not None, (
        f"forgotten fence: `{what}` accepted fence {claim.fence} of {claim.worker_id}, which does "
        "not own the run; raise StaleFence and write nothing"
    )
    assert claim.run_id in str(stale), f"StaleFence must name the run, got {str(stale)!r}"


async def assert_stale(store: Store, claim: Claim) -> None:
    """Check that nothing can be written with this claim."""
    before = await store.run(claim.run_id), await store.artifact_steps(claim.run_id)
    await refused(claim, "save", store.save(claim, artifact("c2"), concept=done("c2")))
    await refused(claim, "save_concept", store.save_concept(claim, done("c2")))
    await refused(claim, "finish", store.finish(claim, "completed"))
    await store.hand_back(claim)
    after = await store.run(claim.run_id), await store.artifact_steps(claim.run_id)
    assert after == before, "forgotten fence: a refused write changed something"
