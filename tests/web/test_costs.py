"""`/api/budgets`, and the metrics of costs and budgets."""

from pathlib import Path
from typing import Any

from paceline.contracts.share import Share
from paceline.contracts.storage.budgets import MoneyRequest, MoneySpent, to_nanos
from paceline.testing.contracts.store.inputs import artifact, charge, claimed
from paceline.testing.virtual_time import real_time

from tests.support.web_site import READER, Site, site, tokens

BUDGET: dict[str, Any] = {
    "strategy": ["budget", "unbounded"],
    "strategies": {
        "budget": {
            "per_run": 1,
            "per_tenant_per_day": 10,
            "per_day": 20,
            "keys": {"openai:gpt": {"per_month": 40}},
        }
    },
    "provider": {"currency": "EUR", "prompt_price": 1, "completion_price": 1},
}


async def spend(here: Site, roadmap_id: str, tenant: str, amount: float) -> None:
    """Spend an amount with one call of a run, and leave one in flight."""
    store, limits = here.backend.store, here.backend.app.factory.budget_limits()
    assert limits is not None
    claim = await claimed(store, roadmap_id, share=Share(tenant))
    saved = artifact("c0", model="gpt", cost=amount)
    calls = [
        MoneyRequest(
            id=f"{roadmap_id}{cost}",
            run_id=claim.run_id,
            tenant=tenant,
            key="openai:gpt",
            amount=to_nanos(cost),
        )
        for cost in (amount, 0.125)
    ]
    for call in calls:
        assert (await store.exchange_money("a-worker", limits, requests=[call])).granted
    spent = [MoneySpent(id=calls[0].id, cost=calls[0].amount)]
    await store.exchange_money("a-worker", limits, spent=spent)
    await store.save(claim, saved, concept=None)
    await store.charge(claim, charge("c1", "quiz", cost=0.25))


@real_time
async def test_budgets_show_what_is_spent_and_reserved_of_each_limit(tmp_path: Path) -> None:
    async with site(tmp_path, **BUDGET) as here:
        await spend(here, "one", "acme", 0.75)
        answer = (await here.client.get("/api/budgets")).json()
        found = {one["scope"]: one for one in answer["budgets"]}
        assert answer["currency"] == "EUR"
        assert set(found) == {"tenant-day", "day", "month"}
        assert found["tenant-day"]["tenant"] == "acme"
        assert (found["month"]["model"], found["month"]["limit"]) == ("openai:gpt", 40)
        day = found["day"]
        assert (day["spent"], day["reserved"], day["low"]) == (0.75, 0.125, False)
        assert day["state"] == f"0.7500 EUR of 20.0000 EUR spent (per_day {day['period']})"


@real_time
async def test_a_tenant_sees_its_own_limit_and_no_other_tenant(tmp_path: Path) -> None:
    web = tokens()
    async with site(tmp_path, web=web, token=READER, **BUDGET) as here:
        await spend(here, "one", "acme", 0.5)
        answer = await here.client.get("/api/budgets")
        found = {(one["scope"], one["tenant"]): one["spent"] for one in answer.json()["budgets"]}
        assert found[("tenant-day", "default")] == 0
        assert found[("day", None)] == 0.5
        assert "acme" not in answer.text


@real_time
async def test_there_are_no_budgets_without_the_strategy(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        assert (await here.client.get("/api/budgets")).json()["budgets"] == []
        assert "paceline_budget_limit{" not in (await here.client.get("/metrics")).text


@real_time
async def test_metrics_have_budgets_without_tenants_and_costs_by_model_and_step(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, **BUDGET) as here:
        await spend(here, "one", "acme", 0.75)
        await spend(here, "two", "other", 0.5)
        text = (await here.client.get("/metrics")).text
    lines = text.splitlines()
    for line in (
        'paceline_budget_limit{currency="EUR",model="all",scope="day"} 20.0',
        'paceline_budget_spent{currency="EUR",model="all",scope="day"} 1.25',
        'paceline_budget_reserved{currency="EUR",model="all",scope="day"} 0.25',
        'paceline_budget_limit{currency="EUR",model="openai:gpt",scope="month"} 40.0',
        "# TYPE paceline_cost_total counter",
        'paceline_cost_total{currency="EUR",model="gpt",step="tutorial"} 1.25',
        'paceline_cost_without_artifact{currency="EUR",step="quiz"} 0.5',
    ):
        assert line in lines, text
    assert "acme" not in text
    assert "tenant-day" not in text


@real_time
async def test_the_cost_of_a_model_does_not_fall_when_an_artifact_includes_earlier_calls(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        store = here.backend.store
        claim = await claimed(store)
        await store.charge(claim, charge(cost=0.5))
        before = (await here.client.get("/metrics")).text
        await store.save(claim, artifact(attempts=2, cost=0.75), concept=None)
        after = (await here.client.get("/metrics")).text
    assert 'cost_without_artifact{currency="USD",step="tutorial"} 0.5' in before
    assert "paceline_cost_total{" not in before
    assert 'cost_without_artifact{currency="USD",step="tutorial"} 0.0' in after
    assert 'cost_total{currency="USD",model="gpt",step="tutorial"} 0.75' in after
