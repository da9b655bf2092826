"""``global`` with quotas of tenants, over several workers in virtual time."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paceline import Done
from paceline.admission import LiveControls
from paceline.contracts.admission.ledger import Quota
from paceline.contracts.admission.work import RateLimited, RateLimitInfo
from paceline.contracts.controls import Controls, LimitOverride
from paceline.errors import Fatal, SettingsError
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.testing.lease_ledger import LeaseLedger
from paceline.testing.virtual_time import run_virtual, virtual_time
from paceline_strategies.global_limit import GlobalLimit, GlobalOptions
from paceline_strategies.tenant_quotas import TenantSettings

from tests.support.permit_requests import Member, crowds, let_in
from tests.support.quota_workers import KEY, Office, call

tenant_limits = st.builds(
    Quota,
    concurrency=st.none() | st.integers(1, 10),
    requests=st.none() | st.integers(5, 100),
    tokens=st.none() | st.integers(2_000, 50_000),
)
model_limits = st.builds(
    Quota, concurrency=st.integers(1, 20), requests=st.none() | st.integers(5, 150)
)


@settings(max_examples=15)
@given(acme=tenant_limits, each=tenant_limits, model=model_limits, seed=st.integers(0, 3))
def test_neither_a_tenant_nor_a_model_exceeds_its_limit_in_any_minute(
    acme: Quota, each: Quota, model: Quota, seed: int
) -> None:
    async def scenario() -> None:
        tenants = TenantSettings(own={"acme": acme}, each=each)
        office = Office(model, workers=3, seed=seed, tenants=tenants)
        for worker in range(3):
            for tenant in ("acme", "rival"):
                office.busy(
                    worker,
                    f"{tenant}-{worker}",
                    callers=12,
                    tokens=300,
                    seconds=6,
                    tenant=tenant,
                )
        await asyncio.sleep(180)
        provider = office.provider
        assert provider.peak <= (model.concurrency or 1e9)
        assert provider.most_in_a_minute(lambda _: 1) <= (model.requests or 1e9)
        for tenant, quota in (("acme", acme), ("rival", each)):
            theirs = provider.of_runs(tenant)
            assert theirs.reached
            assert theirs.most_in_a_minute(lambda _: 1) <= (quota.requests or 1e9)
            assert theirs.most_in_a_minute(lambda tokens: tokens) <= (quota.tokens or 1e9)
        await office.end()

    run_virtual(scenario(), seed=seed)


@virtual_time
async def test_calls_that_waited_for_the_model_do_not_start_in_a_burst_above_the_quota() -> None:
    tenants = TenantSettings(own={"acme": Quota(requests=30)})
    office = Office(Quota(concurrency=100), workers=2, tenants=tenants)
    refused = await office.workers[0].admit(call("rival-0", tenant="rival"))
    refused.release(RateLimited(150.0))  # the provider is away for minutes
    await asyncio.sleep(1)
    for worker in range(2):
        office.busy(worker, f"acme-{worker}", callers=60, seconds=2, tenant="acme")
    await asyncio.sleep(300)
    acme = office.provider.of_runs("acme")
    assert acme.reached[0][0] >= 150
    assert 25 <= acme.most_in_a_minute(lambda _: 1) <= 30
    await office.end()


@virtual_time
async def test_a_tenant_whose_model_is_the_bottleneck_uses_all_of_the_model() -> None:
    tenants = TenantSettings(own={"acme": Quota(requests=600)})
    office = Office(Quota(concurrency=5), workers=2, tenants=tenants)
    for worker in range(2):
        office.busy(worker, f"acme-{worker}", callers=100, seconds=10, tenant="acme")
    await asyncio.sleep(600)
    # Five at once, each for ten seconds and the way to the provider.
    assert len(office.provider.reached) >= 0.9 * 5 * 600 / 10.2
    await office.end()


@virtual_time
async def test_a_tenant_at_its_limit_does_not_hold_back_others() -> None:
    tenants = TenantSettings(own={"acme": Quota(requests=6)})
    office = Office(Quota(concurrency=4), workers=2, tenants=tenants)
    for worker in range(2):
        office.busy(worker, f"acme-{worker}", callers=50, seconds=1, tenant="acme")
    await asyncio.sleep(30)
    since = asyncio.get_running_loop().time()
    calls = [office.call(n % 2, call("rival", tenant="rival"), seconds=1 - 0.4) for n in range(40)]
    await asyncio.gather(*calls)
    # Alone they take ten seconds with four at once; acme has six calls a minute.
    assert asyncio.get_running_loop().time() - since < 12
    await office.end()


@settings(max_examples=25)
@given(
    crowd=crowds,
    quota=st.sampled_from(
        [Quota(concurrency=2), Quota(requests=60), Quota(concurrency=3, tokens=50)]
    ),
    seed=st.integers(0, 3),
)
def test_cancelling_at_any_moment_leaks_nothing(
    crowd: list[Member], quota: Quota, seed: int
) -> None:
    async def scenario() -> None:
        ledger = LeaseLedger()
        tenants = TenantSettings(own={"acme": quota})
        workers = [
            GlobalLimit(Quota(concurrency=2), ledger, holder=f"w{n}", tenants=tenants)
            for n in range(3)
        ]
        await let_in(
            crowd, lambda member: workers[member.gate].admit(call(tenant="acme", tokens=1))
        )
        await asyncio.sleep(2)
        for limit in (f"global:{KEY}", "tenant:acme"):
            assert await ledger.held(limit) == {}
        for worker in workers:
            await worker.close()

    run_virtual(scenario(), limit=1000.0, seed=seed)


@virtual_time
async def test_runs_without_a_tenant_belong_to_the_tenant_default() -> None:
    one = Quota(concurrency=1)
    for tenants, admitted in (
        (TenantSettings(own={"acme": one}), 2),
        (TenantSettings(own={"default": one}), 1),
        (TenantSettings(own={}, each=one), 1),
    ):
        worker = GlobalLimit(Quota(concurrency=9), LeaseLedger(), holder="w", tenants=tenants)
        calls = [asyncio.create_task(worker.admit(call())) for _ in range(2)]
        done, _ = await asyncio.wait(calls, timeout=1)
        assert len(done) == admitted
        await worker.close()


@virtual_time
async def test_what_the_provider_says_of_a_model_does_not_change_the_quota_of_a_tenant() -> None:
    ledger = LeaseLedger()
    tenants = TenantSettings(own={"acme": Quota(requests=600)})
    worker = GlobalLimit(Quota(requests=6_000), ledger, holder="w", tenants=tenants)
    headers = RateLimitInfo(requests=500, requests_left=10)
    (await worker.admit(call(tenant="acme"))).release(Done(1, 1.0, headers))
    (await worker.admit(call(tenant="acme"))).release(RateLimited(5.0))
    await asyncio.sleep(1)
    use = (await ledger.sync("tenant:acme", quota=Quota(requests=600), holder="c")).use
    assert (use.request_quota, use.requests) == (600, 1), "a refused call is not counted"
    await worker.close()


@virtual_time
async def test_the_figures_say_that_calls_wait_for_the_tenant_and_the_explanation_names_none() -> (
    None
):
    controls = LiveControls()
    worker = GlobalLimit(Quota(concurrency=9), LeaseLedger(), holder="w", controls=controls)
    limit = LimitOverride(limit="global", key="tenant:acme", values={"concurrency": 1}, version=1)
    controls.update(Controls(version=1, limits=(limit,)))
    first = await worker.admit(call(tenant="acme"))
    waiting = asyncio.create_task(worker.admit(call(tenant="acme")))
    (await worker.admit(call(tenant="rival"))).release(Done())
    await asyncio.sleep(1)
    shown = {one.key: one for one in worker.limits()}
    acme = shown["tenant:acme"]
    assert (acme.used, acme.quota, acme.waiting) == (1, 1, 1)
    assert acme.reason == "all permits of the tenant are in use"
    assert shown[KEY].waiting == 0
    assert "tenant:rival" not in shown
    assert "1 waiting for quotas of tenants" in worker.explain()
    assert "acme" not in worker.explain()
    raised = LimitOverride(limit="global", key="tenant:acme", values={"concurrency": 2}, version=2)
    controls.update(Controls(version=2, limits=(raised,)))
    worker.limits_changed()
    await asyncio.sleep(0.01)
    for permit in (first, await waiting):
        permit.release(Done())
    await asyncio.sleep(70)
    assert "tenant:acme" not in {one.key for one in worker.limits()}, "unused for a minute"
    await worker.close()


@virtual_time
async def test_a_call_larger_than_its_tenants_minute_fails_with_the_setting_to_raise() -> None:
    tenants = TenantSettings(own={"acme": Quota(tokens=50)}, each=Quota(tokens=70))
    worker = GlobalLimit(Quota(concurrency=9), LeaseLedger(), holder="w", tenants=tenants)
    with pytest.raises(Fatal, match=r'strategies\.global\.tenants\."acme"\.tokens_per_minute = 50'):
        await worker.admit(call(tenant="acme", tokens=60))
    with pytest.raises(Fatal, match=r"strategies\.global\.each_tenant\.tokens_per_minute = 70"):
        await worker.admit(call(tenant="other", tokens=80))
    await worker.close()


def test_options_of_a_tenant_replace_those_of_each_tenant() -> None:
    options = GlobalOptions.model_validate(
        {
            "each_tenant": {"requests_per_minute": 60},
            "tenants": {"acme": {"requests_per_minute": 600}, "Big Co.": {"concurrency": 3}},
        }
    )
    assert options.tenant_settings() == TenantSettings(
        own={"acme": Quota(requests=600), "Big Co.": Quota(requests=60, concurrency=3)},
        each=Quota(requests=60),
    )
    assert options.tenant_settings().rate_limited
    assert GlobalOptions().tenant_settings() == TenantSettings(own={})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tenants": {"acme": {"concurrency": 0}}}, "greater than or equal to 1|at least 1"),
        ({"tenants": {"acme": {"requests": 5}}}, "requests"),
        ({"tenants": {" acme": {"concurrency": 1}}}, "no space at either end"),
        ({"tenants": {"a" * 101: {"concurrency": 1}}}, "1 to 100 printable characters"),
        ({"each_tenant": {"tokens_per_minute": True}}, "tokens_per_minute"),
        ({"keys": {"tenant:acme": {"concurrency": 1}}}, r"tenants\.acme"),
    ],
)
def test_a_wrong_quota_of_a_tenant_is_one_clear_error(
    wrong: dict[str, object], message: str
) -> None:
    context = Context(settings=Settings(), worker_id="w", ledger=LeaseLedger)
    with pytest.raises(SettingsError, match=message):
        Plugins().strategy("global").make(wrong, context, "strategies.global")
