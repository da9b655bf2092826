"""Resources: one quota over all workers for a service besides the LLM, in virtual time."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import pytest
from paceline import App, Fatal, Refused, SettingsError, UsageError, Work
from paceline.contracts.admission.ledger import Ledger, Quota
from paceline.errors import PartUnavailable
from paceline.generation.resources import Resources
from paceline.runtime.part_factory import PartFactory
from paceline.settings.model import ResourceSettings, Settings
from paceline.testing.lease_ledger import LeaseLedger
from paceline.testing.scripted import ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time

from tests.support.memory_worker import a_roadmap, rig
from tests.support.quota_workers import Counting

MINUTE = 60.0


def work(run: str = "run", concept: str = "c", *, tenant: str = "", weight: float = 1.0) -> Work:
    return Work(
        level="call",
        run_id=run,
        roadmap_id=run,
        concept_id=concept,
        step="research",
        tenant=tenant,
        weight=weight,
    )


def settings(**options: object) -> dict[str, ResourceSettings]:
    return {"tavily": ResourceSettings.model_validate(options)}


@asynccontextmanager
async def workers(
    number: int, ledger: Ledger | None = None, **options: object
) -> AsyncGenerator[list[Resources]]:
    """The resource ``tavily`` in this number of worker processes."""
    shared = ledger or LeaseLedger()
    made = [Resources(settings(**options), lambda: shared, holder=f"w{n}") for n in range(number)]
    yield made
    for one in made:
        await one.close()


class Service:
    """A service that counts the requests of each key."""

    def __init__(self) -> None:
        self.by_key: dict[str, Counting] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    async def request(
        self, resources: Resources, item: Work, *, units: int = 1, seconds: float = 1.0
    ) -> None:
        async with resources.use("tavily", item, units) as use:
            key = "" if use.key is None else use.key.get_secret_value()
            counting = self.by_key.setdefault(key, Counting())
            counting.reached.append((asyncio.get_running_loop().time(), units, item.run_id))
            counting.out += 1
            counting.peak = max(counting.peak, counting.out)
            try:
                await asyncio.sleep(seconds)
            finally:
                counting.out -= 1

    def busy(
        self, resources: Resources, item: Work, *, callers: int, units: int = 1, seconds: float = 1
    ) -> None:
        """Start callers that use the resource again and again."""

        async def caller() -> None:
            while True:
                await self.request(resources, item, units=units, seconds=seconds)

        for _ in range(callers):
            self.tasks.add(asyncio.create_task(caller()))

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


@virtual_time
async def test_two_workers_share_a_quota_and_a_concurrency() -> None:
    service = Service()
    async with workers(2, requests_per_minute=100, concurrency=5) as both:
        for number, one in enumerate(both):
            service.busy(one, work(f"run-{number}"), callers=10)
        await asyncio.sleep(5 * MINUTE)
        await service.stop()
    counting = service.by_key[""]
    assert counting.most_in_a_minute(lambda _: 1) <= 100
    assert len(counting.reached) > 0.95 * 500
    assert counting.peak <= 5


@virtual_time
async def test_a_pool_of_three_keys_reaches_three_quotas_and_exceeds_none() -> None:
    service = Service()
    keys = {"a": "secret-a", "b": "secret-b", "c": "secret-c"}
    async with workers(2, requests_per_minute=100, keys=keys) as both:
        for number, one in enumerate(both):
            service.busy(one, work(f"run-{number}"), callers=20)
        await asyncio.sleep(5 * MINUTE)
        await service.stop()
    assert service.by_key.keys() == set(keys.values())
    for counting in service.by_key.values():
        assert counting.most_in_a_minute(lambda _: 1) <= 100
    assert sum(len(one.reached) for one in service.by_key.values()) > 0.95 * 5 * 300


@virtual_time
async def test_a_light_load_spreads_over_all_keys() -> None:
    service = Service()
    async with workers(2, concurrency=10, keys={"a": "A", "b": "B"}) as both:
        await asyncio.gather(*(service.request(both[n % 2], work()) for n in range(12)))
    used = {key: len(counting.reached) for key, counting in service.by_key.items()}
    assert used == {"A": 6, "B": 6}


@virtual_time
async def test_a_use_may_count_as_several_requests() -> None:
    service = Service()
    async with workers(2, requests_per_minute=60) as both:
        service.busy(both[0], work("large"), callers=5, units=7)
        service.busy(both[1], work("small"), callers=5, units=2)
        await asyncio.sleep(5 * MINUTE)
        await service.stop()
        with pytest.raises(Fatal, match=r"61 requests, more than resources\.tavily\.requests_per"):
            await service.request(both[0], work(), units=61)
        with pytest.raises(UsageError, match="units must be at least 1, got 0"):
            await service.request(both[0], work(), units=0)
    counting = service.by_key[""]
    assert counting.most_in_a_minute(lambda units: units) <= 60
    total = sum(units for _, units, _ in counting.reached)
    assert total > 0.9 * 300
    # Both runs have the same weight, so each gets half of the requests.
    assert 0.4 < counting.tokens_of("large") / total < 0.6


@virtual_time
async def test_tenants_share_a_resource_by_their_weights() -> None:
    service = Service()
    async with workers(2, requests_per_minute=120) as both:
        for number in range(4):
            heavy = work(f"heavy-{number}", tenant="heavy", weight=3.0)
            service.busy(both[number % 2], heavy, callers=10)
        service.busy(both[0], work("light", tenant="light"), callers=10)
        await asyncio.sleep(10 * MINUTE)
        await service.stop()
    counting = service.by_key[""]
    light = counting.tokens_of("light") / len(counting.reached)
    assert 0.2 < light < 0.3


async def refuse(resources: Resources, item: Work, retry_after: float | None) -> str | None:
    async with resources.use("tavily", item) as use:
        if retry_after is not None:
            raise Refused("too many requests", retry_after)
        return None if use.key is None else use.key.get_secret_value()


@virtual_time
async def test_a_refusal_pauses_the_resource_for_all_workers() -> None:
    loop = asyncio.get_running_loop()
    async with workers(2, concurrency=5) as both:
        with pytest.raises(Refused, match="too many requests"):
            await refuse(both[0], work(), 30.0)
        await asyncio.sleep(0.5)
        asking = asyncio.create_task(refuse(both[1], work("other"), None))
        await asyncio.sleep(1)
        assert "1 waiting, pausing because the service refused a request" in both[1].explain()
        await asking
        assert 30.0 <= loop.time() < 31.0


@virtual_time
async def test_a_refusal_pauses_one_key_of_a_pool_and_its_waiters_move_to_others() -> None:
    loop = asyncio.get_running_loop()
    async with workers(2, concurrency=1, keys={"a": "A", "b": "B"}) as both:
        first = both[0].use("tavily", work("first"))
        key = (await first.__aenter__()).key
        assert key is not None
        paused = key.get_secret_value()
        # One of the next two waits behind the first one.
        asking = [asyncio.create_task(refuse(both[1], work(f"r{n}"), None)) for n in range(4)]
        await asyncio.sleep(1)
        refused = Refused("no", 200.0)
        assert not await first.__aexit__(Refused, refused, None)
        used = await asyncio.gather(*asking)
        assert loop.time() < 20
        assert Counter(used)[paused] <= 1
        assert await refuse(both[0], work("later"), None) != paused


@virtual_time
async def test_an_item_that_is_refused_for_longer_than_the_patience_fails() -> None:
    async with workers(1, concurrency=5, patience=100.0) as (one,):
        for _ in range(2):
            with pytest.raises(Refused):
                await refuse(one, work(concept="a"), 40.0)
        with pytest.raises(Fatal, match=r"refused for 80 s.* resources\.tavily\.patience = 100 s"):
            await refuse(one, work(concept="a"), 40.0)
        # Another item, and the same one after a success, begin anew.
        with pytest.raises(Refused):
            await refuse(one, work(concept="b"), 90.0)
        await refuse(one, work(concept="b"), None)
        with pytest.raises(Refused):
            await refuse(one, work(concept="b"), 90.0)
        # No pause is longer than the patience.
        with pytest.raises(Fatal):
            await refuse(one, work(concept="c"), 1e9)
        before = asyncio.get_running_loop().time()
        await refuse(one, work(concept="d"), None)
        assert asyncio.get_running_loop().time() <= before + 101


@virtual_time
async def test_other_errors_keep_the_request_counted_and_pause_nothing() -> None:
    ledger = LeaseLedger()
    async with workers(1, ledger, requests_per_minute=10) as (one,):
        with pytest.raises(ZeroDivisionError):
            async with one.use("tavily", work(), 3):
                raise ZeroDivisionError
        await refuse(one, work(), None)
        assert asyncio.get_running_loop().time() < 30
        use = (await ledger.sync("resource:tavily", quota=Quota(tokens=10), holder="x")).use
        assert use.tokens == 4


@virtual_time
async def test_cancelling_uses_at_any_moment_leaks_no_permit() -> None:
    ledger = LeaseLedger()
    service = Service()
    async with workers(2, ledger, concurrency=2, keys={"a": "A", "b": "B"}) as both:
        for moment in range(40):
            uses = [
                asyncio.create_task(service.request(both[n % 2], work(f"r{n}"), seconds=0.35))
                for n in range(8)
            ]
            await asyncio.sleep(moment * 0.07)
            for use in uses:
                use.cancel()
            await asyncio.wait(uses)
        await asyncio.sleep(5)
        for key in "ab":
            assert await ledger.held(f"resource:tavily#{key}") == {}
    assert all(counting.peak <= 2 for counting in service.by_key.values())


@virtual_time
async def test_an_unknown_resource_is_an_error_with_the_nearest_name() -> None:
    async with workers(1, concurrency=1) as (one,):
        with pytest.raises(
            SettingsError, match=r"^unknown resource 'tavly': did you mean 'tavily'\? \(allowed:"
        ):
            await refuse_by_name(one, "tavly")


async def refuse_by_name(resources: Resources, name: str) -> None:
    async with resources.use(name, work()):
        pass


@virtual_time
async def test_names_fold_dashes_and_underscores() -> None:
    named = {"my-search": ResourceSettings(concurrency=1)}
    resources = Resources(named, LeaseLedger)
    await refuse_by_name(resources, "my_search")
    await resources.close()


def test_keys_come_from_the_settings_or_from_environment_variables() -> None:
    listed = ResourceSettings.model_validate({"concurrency": 1, "keys": "KEY_A, KEY_B"})
    assert listed.keys == {"KEY_A": None, "KEY_B": None}
    with pytest.raises(SettingsError, match=r"^resources\.tavily\.keys: .* KEY_B is not set$"):
        Resources({"tavily": listed}, LeaseLedger, environ={"KEY_A": "a"})
    Resources({"tavily": listed}, LeaseLedger, environ={"KEY_A": "a", "KEY_B": "b"})


@virtual_time
async def test_a_pool_hands_out_the_secrets_of_environment_variables() -> None:
    listed = ResourceSettings.model_validate({"concurrency": 1, "keys": ["KEY_A"]})
    resources = Resources({"tavily": listed}, LeaseLedger, environ={"KEY_A": "the-secret"})
    assert await refuse(resources, work(), None) == "the-secret"
    assert "the-secret" not in resources.explain()
    await resources.close()


@virtual_time
async def test_the_explanation_shows_limits_before_and_use_after_the_first_use() -> None:
    async with workers(1, requests_per_minute=60, concurrency=3, keys={"a": "A"}) as (one,):
        assert one.explain() == "tavily: 1 key of 60 requests a minute, 3 at once"
        async with one.use("tavily", work(), 5):
            assert one.explain() == (
                "tavily: 1 key of 60 requests a minute, 3 at once, 1 held here, 0 waiting, "
                "a: 5 of 60 requests used"
            )


@virtual_time
async def test_a_worker_opens_no_ledger_for_resources_that_no_run_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[Ledger] = []

    def counted(*_: object) -> Ledger:
        opened.append(LeaseLedger())
        return opened[-1]

    monkeypatch.setattr(PartFactory, "ledger", counted)
    chosen = Settings(strategy=["unbounded"], resources=settings(concurrency=2))
    provider = ScriptedProvider(lambda request, _: (1.0, plain_answer(request.step)))
    async with rig(provider, settings=chosen) as it:
        await it.generate(a_roadmap(1))
        parts = it.worker.parts
        assert parts.explain_limits() == "unbounded (no limit); resources (tavily: 2 at once)"
        assert it.worker.heartbeat.figures().strategy == parts.explain_limits()
        assert not opened
        async with parts.resources.use("tavily", work()):
            assert "1 held here" in parts.explain_limits()
        assert len(opened) == 1
    assert await opened[0].held("resource:tavily") == {}


class Unreachable(LeaseLedger):
    """A ledger that never answers."""

    async def sync(self, *_: object, **__: object) -> object:  # type: ignore[override]
        raise PartUnavailable("the ledger is unreachable")


@virtual_time
async def test_an_unreachable_ledger_fails_a_use_after_a_while() -> None:
    async with workers(1, Unreachable(), concurrency=1, keys={"a": "A", "b": "B"}) as (one,):
        with pytest.raises(PartUnavailable, match="unreachable"):
            await refuse(one, work(), None)


def load(text: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Settings:
    return App.load(
        overrides=text, environ={"PACELINE_PLUGINS": "none", **(environ or {})}
    ).settings


def test_resources_are_set_by_environment_variables() -> None:
    environ = {
        "PACELINE_RESOURCES__TAVILY__REQUESTS_PER_MINUTE": "100",
        "PACELINE_RESOURCES__MY_SEARCH__CONCURRENCY": "2",
    }
    found = load({}, environ).resources
    assert found["tavily"].requests_per_minute == 100
    assert found["my-search"].concurrency == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"patience": 3}, r"^resources\.tavily must set requests_per_minute or concurrency"),
        ({"concurrency": 0}, r"^resources\.tavily\.concurrency must be at least 1, got 0"),
        ({"rpm": 1}, r"rpm is not a known field.* \(allowed: requests_per_minute, concurrency"),
        ({"concurrency": 1, "keys": "hidden"}, r"keys must be a table NAME = SECRET, or a list"),
        ({"concurrency": 1, "keys": {"a": {"hidden": 1}}}, r"^resources\.tavily\.keys\.a must be"),
        ({"concurrency": 1, "keys": {"a b": "hidden"}}, r"^resources\.tavily\.keys\.a b"),
    ],
)
def test_wrong_settings_of_a_resource_name_their_place_and_no_secret(
    given: dict[str, object], told: str
) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        load({f"resources.tavily.{key}": value for key, value in given.items()})
    assert "hidden" not in str(caught.value).partition(" — in ")[0]
