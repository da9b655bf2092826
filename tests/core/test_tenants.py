"""A client of a tenant submits, sees and steers the runs of that tenant, and no others."""

import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from paceline import App, Client, KeyReused, RunConflict, RunNotFound, Settings, Share, UsageError
from paceline.client.content.revising import NoSuchVersion
from paceline.client.run_request import RunRequest
from paceline.contracts.storage.budgets import BudgetLimits, MoneyRequest
from paceline.contracts.storage.run_search import RunSearch
from paceline.testing.virtual_time import virtual_time

from tests.support.memory_worker import a_roadmap

IN_MEMORY = App(Settings.model_validate({"store": {"url": "memory://"}}))


async def followed(client: Client, run_id: str) -> None:
    async for _ in client.follow(run_id):
        pass


async def restored(client: Client, run_id: str) -> None:
    """Restore an artifact that has no older version."""
    with suppress(NoSuchVersion):
        await client.restore(run_id, "c0", "tutorial")


#: Every call that names a run.
CALLS: dict[str, Callable[[Client, str], Awaitable[Any]]] = {
    "artifacts": lambda client, run_id: client.artifacts(run_id),
    "cancel": lambda client, run_id: client.cancel(run_id),
    "follow": followed,
    "import_into": lambda client, run_id: client.import_into(run_id, []),
    "pause": lambda client, run_id: client.pause(run_id),
    "restore": restored,
    "resume": lambda client, run_id: client.resume(run_id),
    "revise": lambda client, run_id: client.revise(run_id, [("c0", "tutorial")]),
    "revised": lambda client, run_id: client.revised(run_id, [("c0", "tutorial")]),
    "run": lambda client, run_id: client.run(run_id),
    "select": lambda client, run_id: client.select(run_id),
    "versions": lambda client, run_id: client.versions(run_id, "c0", "tutorial"),
    "wait": lambda client, run_id: client.wait(run_id),
}
#: Calls that the tests below cover one by one.
OTHERS = {
    *("adoption", "check_budget", "check_request", "costs"),
    *("check_resumable", "check_scope", "explain_inputs"),
    *(
        "budgets",
        "find_runs",
        "for_tenant",
        "import_roadmap",
        "purge",
        "purge_all",
        "purgeable",
        "runs",
    ),
    "submit",
    *("audit_log", "controls", "pause_work", "resume_work"),  # in test_held_work
    *("drain_worker", "limits", "reset_limits", "set_limits"),  # in test_limit_commands
}


def test_every_call_of_a_client_is_tested_with_two_tenants() -> None:
    calls = {name for name, _ in inspect.getmembers(Client, inspect.isfunction)}
    assert {name for name in calls if not name.startswith("_")} == CALLS.keys() | OTHERS


@pytest.mark.parametrize("call", CALLS)
@virtual_time
async def test_a_run_of_another_tenant_is_as_one_that_does_not_exist(call: str) -> None:
    async with IN_MEMORY.client() as client:
        run, _ = await client.for_tenant("acme").submit(a_roadmap(2))
        for tenant in ("rival", "default"):
            for unknown in (run.run_id, "none"):
                with pytest.raises(RunNotFound) as missing:
                    await CALLS[call](client.for_tenant(tenant), unknown)
                assert str(missing.value) == f"no run has the id {unknown!r}"
        assert await client.run(run.run_id) == run, "nothing has changed"
        await client.cancel(run.run_id)
        for owner in (client, client.for_tenant("acme")):
            await CALLS[call](owner, run.run_id)


@virtual_time
async def test_a_tenant_takes_over_nothing_of_another_one() -> None:
    async with IN_MEMORY.client() as client:
        roadmap, request = a_roadmap(2), RunRequest()
        owner, rival = client.for_tenant("acme"), client.for_tenant("rival")
        run, _ = await owner.import_roadmap(roadmap, request, [])
        assert run is not None
        assert (await owner.adoption(roadmap, request)).source == run
        assert (await rival.adoption(roadmap, request)).source is None
        other, _ = await rival.import_roadmap(roadmap, request, [])
        assert other is not None
        assert (other.share.tenant, other.run_id != run.run_id) == ("rival", True)


@virtual_time
async def test_a_tenant_deletes_nothing_of_another_one() -> None:
    async with IN_MEMORY.client() as client:
        owner, rival = client.for_tenant("acme"), client.for_tenant("rival")
        run, _ = await owner.submit(a_roadmap(2))
        await owner.cancel(run.run_id)
        with pytest.raises(RunNotFound, match=f"no run has the id '{run.run_id}'"):
            await rival.purge(run.run_id)
        assert [one async for one in rival.purgeable()] == []
        assert [one async for one in rival.purge_all()] == []
        for one in (rival.purgeable(tenant="acme"), rival.purge_all(tenant="acme")):
            with pytest.raises(UsageError):
                await anext(one)
        assert [one.run_id async for one in owner.purgeable()] == [run.run_id]
        await owner.purge(run.run_id)
        assert await client.runs() == []


@virtual_time
async def test_two_tenants_that_submit_the_same_roadmap_get_two_runs() -> None:
    async with IN_MEMORY.client() as client:
        made = {}
        for tenant in ("acme", "rival", "default"):
            run, submitted = await client.for_tenant(tenant).submit(a_roadmap(2))
            assert submitted == "created"
            made[tenant] = run
            again, submitted = await client.for_tenant(tenant).submit(a_roadmap(2))
            assert (again.run_id, submitted) == (run.run_id, "attached")
        assert [run.share.tenant for run in made.values()] == ["acme", "rival", ""]
        assert len({run.run_id for run in made.values()}) == 3
        await client.for_tenant("acme").cancel(made["acme"].run_id)
        assert (await client.run(made["rival"].run_id)).status == "queued"


@virtual_time
async def test_a_share_with_a_tenant_finds_the_runs_of_that_tenant() -> None:
    async with IN_MEMORY.client() as client:
        ours, _ = await client.submit(a_roadmap(2), share=Share("acme"))
        theirs, submitted = await client.submit(a_roadmap(3), share=Share("rival", 2.0))
        assert (submitted, theirs.total, theirs.share) == ("created", 3, Share("rival", 2.0))
        with pytest.raises(RunConflict, match=ours.run_id):
            await client.submit(a_roadmap(3), share=Share("acme"))
        plain, submitted = await client.submit(a_roadmap(2))
        assert (submitted, plain.share) == ("created", Share())


@virtual_time
async def test_each_tenant_has_its_own_submission_keys() -> None:
    async with IN_MEMORY.client() as client:

        async def submitted(tenant: str, concepts: int, key: str) -> str:
            run, _ = await client.submit(a_roadmap(concepts), key=key, share=Share(tenant))
            return run.run_id

        names = [("acme", "k"), ("rival", "k"), ("", "k")]
        names += [("a", "b k"), ("a b", "k"), ("a%20b", "k")]
        made = {(one, key): await submitted(one, n + 1, key) for n, (one, key) in enumerate(names)}
        assert len(set(made.values())) == len(names)
        assert await submitted("acme", 1, "k") == made["acme", "k"]
        with pytest.raises(KeyReused) as reused:
            await submitted("rival", 1, "k")
        assert made["rival", "k"] in str(reused.value)
        assert made["acme", "k"] not in str(reused.value)


@virtual_time
async def test_a_client_of_a_tenant_lists_its_own_runs() -> None:
    async with IN_MEMORY.client() as client:
        runs = [
            (await client.submit(a_roadmap(1), new=True, share=Share(tenant)))[0]
            for tenant in ("acme", "rival", "", "acme", "default")
        ]

        async def listed(one: Client, **chosen: Any) -> list[int]:
            return [runs.index(run) for run in await one.runs(**chosen)]

        acme = client.for_tenant("acme")
        assert await listed(client) == [4, 3, 2, 1, 0]
        assert await listed(acme) == [3, 0]
        assert await listed(acme, limit=1) == [3]
        assert await listed(acme, before=runs[1].run_id) == [0]
        assert await listed(acme, status=["completed"]) == []
        assert await listed(client.for_tenant("default"), roadmap_id="r") == [4, 2]
        assert await listed(client.for_tenant("third")) == []

        async def found(one: Client, *tenants: str) -> list[int]:
            page = await one.find_runs(RunSearch(tenants=tenants), totals=True)
            assert page.totals.keys() == {run.run_id for run in page.runs}
            return [runs.index(run) for run in page.runs]

        assert await found(client) == [4, 3, 2, 1, 0]
        assert await found(acme) == [3, 0]
        assert await found(acme, "acme", "rival") == [3, 0]
        assert await found(acme, "rival") == []


@virtual_time
async def test_a_run_of_another_tenant_cannot_be_checked() -> None:
    async with IN_MEMORY.client() as client:
        run, _ = await client.for_tenant("acme").submit(a_roadmap(1))
        with pytest.raises(RunNotFound):
            await client.for_tenant("rival").check_resumable(run, "failed")


@virtual_time
async def test_a_client_of_a_tenant_cannot_act_for_another() -> None:
    async with IN_MEMORY.client() as client:
        acme = client.for_tenant("acme")
        with pytest.raises(UsageError) as refused:
            await acme.submit(a_roadmap(1), share=Share("rival"))
        assert str(refused.value) == (
            "share.tenant must be empty or 'acme' in a client of that tenant, got 'rival'"
        )
        with pytest.raises(UsageError) as refused:
            acme.for_tenant("rival")
        assert str(refused.value) == (
            "tenant must be 'acme' for a client of that tenant, got 'rival'"
        )
        assert await client.runs() == []
        run, _ = await acme.for_tenant("acme").submit(a_roadmap(1), share=Share("acme", 2.0))
        assert run.share == Share("acme", 2.0)


@pytest.mark.parametrize("name", ["", " a", "a\nb", "x" * 101, None, 7])
@virtual_time
async def test_the_name_of_a_tenant_is_checked(name: Any) -> None:
    async with IN_MEMORY.client() as client:
        with pytest.raises(UsageError, match="tenant must have 1 to 100 printable characters"):
            client.for_tenant(name)


@virtual_time
async def test_a_client_of_a_tenant_sees_the_costs_of_its_own_runs() -> None:
    async with IN_MEMORY.client() as client:
        mine, _ = await client.submit(a_roadmap(1), share=Share("acme"))
        await client.submit(a_roadmap(1), share=Share("rival"))
        lines = await client.for_tenant("acme").costs("run")
        assert [line.name for line in lines] == [mine.run_id]
        assert len(await client.costs("run")) == 2


@virtual_time
async def test_a_client_of_a_tenant_sees_the_budget_of_no_other_tenant() -> None:
    limited = IN_MEMORY.settings.model_copy(
        update={"strategy": ["budget"], "strategies": {"budget": {"per_tenant_per_day": 5.0}}}
    )
    async with App(limited).client() as client:
        run, _ = await client.submit(a_roadmap(1), share=Share("acme"))
        limits = BudgetLimits(common={"tenant-day": 5})
        call = MoneyRequest(id="c", run_id=run.run_id, tenant="acme", key="openai:m", amount=3)
        await client.store.exchange_money("w", limits, requests=[call], spent=[])
        own = await client.for_tenant("acme").budgets()
        assert [(one.account.subject, one.reserved) for one in own] == [("acme", 3)]
        rivals = await client.for_tenant("rival").budgets()
        assert [one for one in rivals if one.account.subject != "rival" or one.reserved] == []


@virtual_time
async def test_the_days_of_costs_are_checked() -> None:
    async with IN_MEMORY.client() as client:
        with pytest.raises(UsageError, match="since must be a day such as 2026-11-30"):
            await client.costs("day", since="yesterday")
