"""Workers in any interleaving claim different runs."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from paceline.testing.contracts.store.inputs import LEASE, artifact, submitted
from paceline.testing.virtual_time import run_virtual
from paceline_adapters.memory.store import MemoryStore


@given(st.lists(st.integers(0, 7), min_size=1, max_size=8), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_workers_never_share_a_run_in_any_interleaving(patience: list[int], seed: int) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        for n in range(6):
            await submitted(store, f"r{n}")
        owners: dict[str, str] = {}

        async def work(name: str, pauses: int) -> None:
            while (claim := await store.claim_next("in-process", name, lease=LEASE)) is not None:
                assert claim.run_id not in owners
                owners[claim.run_id] = name
                await store.save(claim, artifact(), concept=None)
                await asyncio.sleep(pauses)
                await store.finish(claim, "completed")

        await asyncio.gather(*(work(f"w{n}", pauses) for n, pauses in enumerate(patience)))
        assert len(owners) == 6

    run_virtual(scenario(), seed=seed)
