"""Tenants: each has its own runs, also of the same roadmap."""

import asyncio

import pytest

from paceline.contracts.share import Share
from paceline.contracts.storage.records import Run
from paceline.errors import RunConflict
from paceline.testing.contracts.contract import scenario
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import ids, roadmap, submitted


class StoreTenants(StoreScenarios):
    """Runs of one tenant are separate from those of other tenants."""

    @scenario
    async def test_the_same_roadmap_of_two_tenants_has_two_runs(self) -> None:
        store = await self.opened_store()
        tenants = ("acme", "rival", "")
        content = {tenant: roadmap(title=f"For {tenant}") for tenant in tenants}
        made: dict[str, Run] = {}
        for tenant in tenants:
            run, created = await store.create_run(
                content[tenant], executor="x", share=Share(tenant)
            )
            assert (created, run.share.tenant) == (True, tenant), "a run of another tenant"
            made[tenant] = run
        for tenant in tenants:
            found = await store.create_run(content[tenant], executor="x", share=Share(tenant))
            assert found == (made[tenant], False)
        found = await store.create_run(content[""], executor="x", share=Share("default"))
        assert found == (made[""], False), "runs without a tenant belong to the default tenant"
        with pytest.raises(RunConflict) as refused:
            await store.create_run(content["rival"], executor="x", share=Share("acme"))
        assert made["acme"].run_id in str(refused.value)
        assert made["rival"].run_id not in str(refused.value)
        same, created = await store.create_run(content[""], executor="x", share=Share("third"))
        assert created
        assert (same.content_hash, same.share.tenant) == (made[""].content_hash, "third")

    @scenario
    async def test_concurrent_submissions_of_two_tenants_share_no_run(self) -> None:
        one, two = await self.processes(2)
        answers = await asyncio.gather(
            *(
                store.create_run(roadmap(), executor="x", share=Share(tenant))
                for store in (one, two) * 2
                for tenant in ("acme", "rival")
            )
        )
        assert len({(run.run_id, run.share.tenant) for run, _ in answers}) == 2
        assert [created for _, created in answers].count(True) == 2

    @scenario
    async def test_runs_are_listed_by_their_tenants(self) -> None:
        store = await self.opened_store()
        made = [
            (await submitted(store, f"r{n % 2}", share=Share(tenant))).run_id
            for n, tenant in enumerate(["", "a", "b", "a", "a"])
        ]
        await store.request_cancel(made[4])
        assert ids(await store.runs(tenants=["a"])) == [made[4], made[3], made[1]]
        assert ids(await store.runs(tenants=["a", "b", "a"])) == made[:0:-1]
        assert ids(await store.runs(tenants=[""])) == [made[0]]
        assert await store.runs(tenants=["A"]) == []
        assert ids(await store.runs(tenants=["a"], limit=2)) == [made[4], made[3]]
        assert ids(await store.runs(tenants=["a"], before=made[3])) == [made[1]]
        assert ids(await store.runs(tenants=["a", "b"], status=["queued"])) == made[3:0:-1]
        assert ids(await store.runs(tenants=["a"], roadmap_id="r1")) == [made[3], made[1]]
