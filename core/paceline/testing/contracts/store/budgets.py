"""Budgets: money is reserved before a call, and nothing that was spent is forgotten."""

import asyncio

from paceline.contracts.share import Share
from paceline.contracts.storage.budgets import (
    BudgetAccount,
    BudgetLimits,
    MoneyAnswers,
    MoneyRequest,
    MoneySpent,
    Shortage,
)
from paceline.contracts.storage.store import Store
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import (
    LEASE,
    artifact,
    claimed,
    must_claim,
    submitted,
    worker,
)

PER_RUN = BudgetLimits(common={"run": 100})
PER_DAY = BudgetLimits(common={"day": 100})


def asks(id_: str, run_id: str, amount: int, **more: str) -> MoneyRequest:
    """A call that may cost this amount."""
    return MoneyRequest(id=id_, run_id=run_id, amount=amount, **more)


async def reserve(
    store: Store, limits: BudgetLimits, *requests: MoneyRequest, worker_id: str = "me"
) -> MoneyAnswers:
    """Ask for money."""
    return await store.exchange_money(worker_id, limits, requests=requests)


async def settle(store: Store, limits: BudgetLimits, **costs: int | None) -> None:
    """Settle calls by their ids."""
    spent = [MoneySpent(id=id_, cost=cost) for id_, cost in costs.items()]
    await store.exchange_money("me", limits, spent=spent)


class StoreBudgets(StoreScenarios):
    """Accounts, reservations, lost workers, and runs that lack money."""

    @scenario
    async def test_money_is_granted_in_order_as_long_as_it_fits(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        calls = [asks(f"a{n}", run.run_id, 40) for n in range(3)]
        answers = await reserve(store, PER_RUN, *calls)
        assert answers.granted == {"a0", "a1"}
        assert not answers.short

    @scenario
    async def test_a_call_that_costs_less_leaves_the_rest_to_others(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        await reserve(store, PER_RUN, asks("a", run.run_id, 90))
        assert not (await reserve(store, PER_RUN, asks("b", run.run_id, 80))).granted
        await settle(store, PER_RUN, a=20)
        assert (await reserve(store, PER_RUN, asks("b", run.run_id, 80))).granted == {"b"}

    @scenario
    async def test_a_call_that_fits_at_no_cost_of_the_others_is_short(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        await reserve(store, PER_RUN, asks("a", run.run_id, 60))
        await settle(store, PER_RUN, a=70)
        answers = await reserve(store, PER_RUN, asks("b", run.run_id, 31))
        account = BudgetAccount(scope="run", subject=run.run_id)
        assert answers.short == {"b": Shortage(account=account, limit=100, spent=70, amount=31)}

    @scenario
    async def test_an_unknown_cost_counts_as_reserved(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        await reserve(store, PER_RUN, asks("a", run.run_id, 60))
        await settle(store, PER_RUN, a=None)
        assert "b" in (await reserve(store, PER_RUN, asks("b", run.run_id, 41))).short

    @scenario
    async def test_repeated_requests_and_settlements_count_once(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        for _ in range(2):
            assert (await reserve(store, PER_RUN, asks("a", run.run_id, 60))).granted == {"a"}
        for _ in range(2):
            await settle(store, PER_RUN, a=50)
        assert (await reserve(store, PER_RUN, asks("b", run.run_id, 50))).granted == {"b"}

    @scenario
    async def test_processes_that_ask_at_once_share_what_is_left(self) -> None:
        stores = await self.processes(4)
        run = await submitted(stores[0])
        answers = await asyncio.gather(
            *(
                reserve(store, PER_RUN, *(asks(f"{n}-{m}", run.run_id, 9) for m in range(5)))
                for n, store in enumerate(stores)
            )
        )
        assert sum(len(one.granted) for one in answers) == 11

    @scenario
    async def test_the_budget_of_a_run_replaces_the_common_one(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        await store.set_budget(run.run_id, 150e-9)
        assert (await store.run(run.run_id)).budget == 150e-9
        assert (await reserve(store, PER_RUN, asks("a", run.run_id, 140))).granted
        other = await submitted(store, "other")
        assert (await reserve(store, PER_RUN, asks("b", other.run_id, 140))).short

    @scenario
    async def test_tenants_and_models_have_accounts_of_their_own(self) -> None:
        store = await self.opened_store()
        one = await submitted(store, "a", share=Share("acme"))
        two = await submitted(store, "b", share=Share("other"))
        limits = BudgetLimits(common={"tenant-day": 100}, keys={"p:big": {"month": 50}})
        await reserve(store, limits, asks("a", one.run_id, 100, tenant="acme"))
        assert not (await reserve(store, limits, asks("b", one.run_id, 1, tenant="acme"))).granted
        calls = [
            asks("c", two.run_id, 40, tenant="other", key="p:big"),
            asks("d", two.run_id, 40, tenant="other", key="p:big"),
            asks("e", two.run_id, 40, tenant="other", key="p:small"),
        ]
        assert (await reserve(store, limits, *calls)).granted == {"c", "e"}

    @scenario
    async def test_an_account_begins_with_what_was_spent_before(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.save(claim, artifact("c0", cost=60e-9), concept=None)
        for limits in (PER_RUN, PER_DAY):
            assert (await reserve(store, limits, asks("a", claim.run_id, 41))).short

    @scenario
    async def test_the_account_of_a_model_begins_with_what_the_model_cost(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        for concept_id, model in (("c0", "big"), ("c1", "big-2026-11-30"), ("c2", "big-mini")):
            made = artifact(concept_id, model=model, cost=30e-9)
            await store.save(claim, made, concept=None)
        other = await submitted(store, "other")
        run = [asks("a", claim.run_id, 41, key="p:big"), asks("b", other.run_id, 41, key="p:big")]
        limits = BudgetLimits(keys={"p:big": {"run": 100}})
        answers = await reserve(store, limits, *run)
        assert answers.granted == {"b"}
        assert answers.short["a"].spent == 60
        limits = BudgetLimits(keys={"p:big": {"day": 100}, "p:@odd/big": {"day": 100}})
        odd = asks("d", other.run_id, 99, key="p:@odd/big")
        day = [asks("c", other.run_id, 41, key="p:big"), odd]
        answers = await reserve(store, limits, *day)
        assert answers.granted == {"d"}
        assert answers.short["c"].spent == 60

    @scenario
    async def test_what_a_lost_worker_has_reserved_is_spent(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        await store.register(worker("me"))
        await reserve(store, PER_RUN, asks("a", run.run_id, 60))
        await reserve(store, PER_RUN, asks("b", run.run_id, 30), worker_id="gone")
        assert await store.settle_lost(lease=LEASE) == 1
        assert await store.settle_lost(lease=LEASE) == 0
        await settle(store, PER_RUN, a=0)
        short = (await reserve(store, PER_RUN, asks("c", run.run_id, 71))).short
        assert short["c"].spent == 30

    @when("clock")
    @scenario
    async def test_a_worker_without_a_beat_is_lost(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        await store.register(worker("me"))
        await reserve(store, PER_RUN, asks("a", run.run_id, 60))
        await self.advance(LEASE - 5)
        assert await store.settle_lost(lease=LEASE) == 0
        await self.advance(10)
        assert await store.settle_lost(lease=LEASE) == 1

    @scenario
    async def test_four_fifths_of_a_limit_are_reported_once(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        await reserve(store, PER_RUN, asks("a", run.run_id, 79))
        await settle(store, PER_RUN, a=79)
        assert not (await reserve(store, PER_RUN, asks("b", run.run_id, 1))).warnings
        await settle(store, PER_RUN, b=1)
        (warning,) = (await reserve(store, PER_RUN, asks("c", run.run_id, 1))).warnings
        assert (warning.account.subject, warning.spent, warning.limit) == (run.run_id, 80, 100)
        assert not (await reserve(store, PER_RUN, asks("d", run.run_id, 1))).warnings

    @scenario
    async def test_a_run_that_lacks_money_continues_when_its_budget_is_raised(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        lacks = Shortage(
            account=BudgetAccount(scope="run", subject=claim.run_id), limit=10, spent=9, amount=5
        )
        assert await store.pause_short(claim, lacks, "budget") == "paused"
        paused = await store.run(claim.run_id)
        assert (paused.status, paused.reason, paused.owner) == ("paused", "budget", None)
        await reserve(store, PER_RUN, asks("a", claim.run_id, 9))
        await settle(store, PER_RUN, a=9)
        little = BudgetLimits(common={"run": 10})
        assert await store.resume_affordable("in-process", little) == ([], "")
        await store.set_budget(claim.run_id, 20e-9)
        assert await store.resume_affordable("other", little) == ([], "")
        assert await store.resume_affordable("in-process", little) == ([claim.run_id], "")
        assert (await store.run(claim.run_id)).reason is None
        assert await store.resume_affordable("in-process", little) == ([], "")

    @scenario
    async def test_runs_that_a_user_paused_stay_paused(self) -> None:
        store = await self.opened_store()
        by_user = await submitted(store, "a")
        await store.request_pause(by_user.run_id, "budget")
        claim = await claimed(store, "b")
        lacks = Shortage(
            account=BudgetAccount(scope="run", subject=claim.run_id), limit=10, spent=9, amount=5
        )
        await store.request_pause(claim.run_id, "by request")
        assert await store.pause_short(claim, lacks, "budget") == "paused"
        assert (await store.run(claim.run_id)).reason == "by request"
        assert await store.resume_affordable("in-process", PER_RUN) == ([], "")

    @when("clock")
    @scenario
    async def test_a_run_that_lacks_money_continues_on_the_next_day(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await reserve(store, PER_DAY, asks("a", claim.run_id, 90))
        await settle(store, PER_DAY, a=90)
        lacks = (await reserve(store, PER_DAY, asks("b", claim.run_id, 20))).short["b"]
        await store.pause_short(claim, lacks, "budget")
        assert await store.resume_affordable("in-process", PER_DAY) == ([], "")
        await self.advance(24 * 3600)
        assert await store.resume_affordable("in-process", PER_DAY) == ([claim.run_id], "")
        await must_claim(store, claim.run_id)

    @when("clock")
    @scenario
    async def test_a_call_counts_on_the_day_on_which_it_began(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        await store.register(worker("me"))
        await reserve(store, PER_DAY, asks("a", run.run_id, 90))
        await self.advance(24 * 3600)
        assert (await reserve(store, PER_DAY, asks("b", run.run_id, 90))).granted
        await settle(store, PER_DAY, a=95)
        (figures,) = await store.account_figures(PER_DAY)
        assert (figures.spent, figures.reserved, figures.limit) == (0, 90, 100)

    @scenario
    async def test_figures_are_those_of_the_tenants_that_spent_most_unless_some_are_named(
        self,
    ) -> None:
        store = await self.opened_store()
        limits = BudgetLimits(common={"tenant-day": 100, "run": 10_000, "month": 1000})
        calls: list[MoneyRequest] = []
        for tenant, spent in (("acme", 40), ("", 70), ("idle", 0)):
            claim = await claimed(store, tenant or "none", share=Share(tenant))
            calls.append(asks(tenant, claim.run_id, 5, tenant=tenant))
            if spent:
                await store.save(claim, artifact("c0", cost=spent * 1e-9), concept=None)
        assert len((await reserve(store, limits, *calls)).granted) == 3
        found = await store.account_figures(limits)
        used = {(one.account.scope, one.account.subject): one.spent for one in found}
        assert used == {
            ("month", ""): 110,
            ("tenant-day", "acme"): 40,
            ("tenant-day", "default"): 70,
        }
        named = await store.account_figures(limits, tenants=["idle"])
        assert {one.account.subject for one in named} == {"", "idle"}
