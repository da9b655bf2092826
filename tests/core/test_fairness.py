"""A small roadmap behind large ones, in the whole pipeline over several workers."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from paceline.contracts.admission.ledger import Ledger, Quota
from paceline.contracts.share import DEFAULT_SHARE, Share
from paceline.settings.model import Settings
from paceline.testing.lease_ledger import LeaseLedger
from paceline.testing.scripted import ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore
from paceline_strategies.global_limit import GlobalLimit

from tests.support.memory_worker import Rig, a_roadmap, rig

WORKERS = 3
SMALL = 5


async def office(stack: AsyncExitStack, quota: Quota) -> list[Rig]:
    """Workers that share a store and a quota and work on all queued runs."""
    store, ledger = MemoryStore(), LeaseLedger()
    provider = ScriptedProvider(lambda request, _: (2.0, plain_answer(request.step)))
    rigs = [
        await stack.enter_async_context(
            rig(
                provider,
                store=store,
                settings=Settings(strategy=["global"]),
                strategies=[("global", limit_over(ledger, quota, f"w{number}"))],
            )
        )
        for number in range(WORKERS)
    ]
    for one in rigs:
        serving = asyncio.create_task(one.worker.serve())
        stack.callback(serving.cancel)
    return rigs


def limit_over(ledger: Ledger, quota: Quota, holder: str) -> GlobalLimit:
    """The strategy of one more worker."""
    return GlobalLimit(quota, ledger, holder=holder)


@virtual_time
async def seconds_of_a_small_run(quota: Quota, *, behind: Sequence[Share] = ()) -> float:
    """The duration of a run of five concepts that is submitted a minute after large ones."""
    async with AsyncExitStack() as stack:
        rigs = await office(stack, quota)
        service = rigs[0].client
        for number, share in enumerate(behind):
            await service.submit(a_roadmap(300, f"large-{number}"), share=share)
        await asyncio.sleep(60)
        since = asyncio.get_running_loop().time()
        small, _ = await service.submit(a_roadmap(SMALL, "small"))
        while (await rigs[0].store.run(small.run_id)).status != "completed":  # noqa: ASYNC110
            await asyncio.sleep(0.25)
        lasted = asyncio.get_running_loop().time() - since
        for one in rigs:
            await one.worker.stop()
        return lasted


def test_a_small_run_behind_ten_large_ones_is_as_fast_as_its_share_allows() -> None:
    shared = seconds_of_a_small_run(Quota(requests=330), behind=[DEFAULT_SHARE] * 10)
    alone = seconds_of_a_small_run(Quota(requests=30))
    assert shared <= 1.2 * alone + 2


def test_the_runs_of_one_tenant_leave_the_share_of_another_untouched() -> None:
    shared = seconds_of_a_small_run(Quota(requests=120), behind=[Share("acme")] * 10)
    alone = seconds_of_a_small_run(Quota(requests=60))
    assert shared <= 1.2 * alone + 2


def test_shares_are_proportional_to_weights() -> None:
    shared = seconds_of_a_small_run(Quota(requests=120), behind=[Share("acme", 3.0)] * 10)
    alone = seconds_of_a_small_run(Quota(requests=30))
    assert shared <= 1.2 * alone + 2
    assert shared >= 0.6 * alone
