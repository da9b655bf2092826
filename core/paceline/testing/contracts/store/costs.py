"""Sums of what calls cost."""

from paceline.contracts.share import Share
from paceline.contracts.storage.budgets import CostsBy
from paceline.contracts.storage.store import Store
from paceline.testing.contracts.contract import scenario
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import (
    artifact,
    charge,
    claimed,
    must_claim,
    submitted,
)


async def sums(store: Store, by: CostsBy, *tenants: str) -> dict[str, tuple[int, float | None]]:
    """Calls and cost by name."""
    lines = await store.costs(by, tenants=tenants)
    return {
        line.name: (
            line.spent.attempts,
            None if line.spent.cost is None else round(line.spent.cost, 9),
        )
        for line in lines
        if line.spent.attempts
    }


class StoreCosts(StoreScenarios):
    """What calls cost is counted once, and outlives its run."""

    @scenario
    async def test_costs_are_summed_up_by_model_step_tenant_day_and_run(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.save(claim, artifact("c0", cost=0.5), concept=None)
        await store.save(claim, artifact("c0", "quiz", model="big", cost=1.0), concept=None)
        run = await submitted(store, "b", share=Share("acme"))
        other = await must_claim(store, run.run_id)
        await store.save(other, artifact("c0", cost=0.25), concept=None)
        assert await sums(store, "model") == {"gpt": (2, 0.75), "big": (1, 1.0)}
        assert await sums(store, "step") == {"tutorial": (2, 0.75), "quiz": (1, 1.0)}
        assert await sums(store, "tenant") == {"": (2, 1.5), "acme": (1, 0.25)}
        assert await sums(store, "run") == {claim.run_id: (2, 1.5), run.run_id: (1, 0.25)}
        assert list((await sums(store, "day")).values()) == [(3, 1.75)]
        assert {place: one.cost for place, one in (await store.costs_of_steps()).items()} == {
            ("gpt", "tutorial"): 0.75,
            ("big", "quiz"): 1.0,
        }
        assert await sums(store, "step", "acme") == {"tutorial": (1, 0.25)}
        assert await sums(store, "run", "acme") == {run.run_id: (1, 0.25)}
        assert not await store.costs("step", since="2999-01-01")
        assert not await store.costs("run", until="2000-01-01")

    @scenario
    async def test_charges_are_counted_until_their_artifact_includes_them(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.charge(claim, charge(cost=0.25))
        await store.charge(claim, charge(attempts=2, cost=0.5))
        await store.charge(claim, charge("c1", cost=0.125))
        assert await sums(store, "model") == {"": (3, 0.625)}
        await store.save(claim, artifact(attempts=3, cost=0.75), concept=None)
        assert await sums(store, "model") == {"": (1, 0.125), "gpt": (3, 0.75)}

    @scenario
    async def test_a_second_save_of_an_artifact_is_not_counted(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        for _ in range(2):
            await store.save(claim, artifact("c0", cost=0.5), concept=None)
        assert await sums(store, "step") == {"tutorial": (1, 0.5)}

    @scenario
    async def test_the_costs_of_a_purged_run_stay(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.save(claim, artifact("c0", cost=0.5), concept=None)
        await store.finish(claim, "completed")
        await store.hide(claim.run_id)
        await store.purge(claim.run_id)
        assert await sums(store, "step") == {"tutorial": (1, 0.5)}
        assert await sums(store, "run") == {}

    @scenario
    async def test_calls_without_a_price_have_no_cost(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.save(claim, artifact("c0"), concept=None)
        assert await sums(store, "step") == {"tutorial": (1, None)}
