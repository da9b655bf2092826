"""``adaptive``: finds the limit that nobody set, over all workers."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pytest
from paceline import Done, RateLimited, Strategy, Work
from paceline.contracts.admission.ledger import Ledger, SharedCounters
from paceline.errors import PartUnavailable, SettingsError
from paceline.generation.strategy_stack import StrategyStack
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.testing.demand import demand
from paceline.testing.lease_ledger import LeaseLedger, LedgerConnection
from paceline.testing.models import ModelProvider, Steps, always
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.ledger import MemoryLedger
from paceline_strategies.adaptive import AdaptiveLimit, AdaptiveOptions
from paceline_strategies.per_roadmap import PerRoadmap

WORK = Work(
    level="call", run_id="run", roadmap_id="roadmap", concept_id="concept", key="m", step="quiz"
)


class Watched(LeaseLedger):
    """Sums up the counts of its holders, and can be unreachable."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.updates = 0
        self.sums: Counter[str] = Counter()

    async def add_counts(self, limit: str, counts: Mapping[str, float]) -> SharedCounters:
        self.updates += 1
        if self.away:
            raise PartUnavailable("the ledger is away")
        for name, amount in counts.items():
            self.sums[name] += round(amount)
        return await super().add_counts(limit, counts)


def worker(ledger: Ledger, name: str = "a", **options: int) -> AdaptiveLimit:
    """The strategy of one worker."""
    return AdaptiveLimit(AdaptiveOptions(**options), ledger, holder=name)


def limits(workers: Sequence[AdaptiveLimit]) -> list[int]:
    """The limit in each worker."""
    return [limit_in(one.explain()) for one in workers]


def limit_in(text: str) -> int:
    """The limit in an explanation."""
    return int(text.partition(": ")[2].partition(" calls")[0])


@virtual_time(seed=1)
async def after(
    provider: ModelProvider,
    seconds: float,
    *,
    workers: int = 4,
    callers: int = 60,
    stack: Callable[[AdaptiveLimit], Strategy] = lambda one: one,
) -> list[str]:
    """Let workers want more than there is for so long; returns what each says then."""
    ledger = LeaseLedger()
    made = [worker(ledger, f"w{n}") for n in range(workers)]
    await demand(list(map(stack, made)), provider, callers=callers, seconds=seconds)
    return [one.explain() for one in made]


def answered(provider: ModelProvider, since: float, until: float) -> int:
    """Calls answered in that time."""
    return sum(since < at <= until for at in provider.answered)


def test_adaptive_finds_the_concurrency_that_is_not_refused() -> None:
    provider = ModelProvider(seconds=4.0, concurrency=always(40))
    after(provider, 300.0)
    assert 1 < len(provider.refused) < 0.02 * len(provider.answered)
    # 40 at once of four seconds each.
    assert answered(provider, 60, 300) > 0.85 * 240 * 10


def test_adaptive_finds_the_concurrency_above_which_calls_only_get_slower() -> None:
    provider = ModelProvider(seconds=4.0, knee=40, slope=0.3, waste=0.2)
    text = after(provider, 600.0)
    assert not provider.refused
    assert provider.peak < 160
    assert max(map(limit_in, text)) < 100
    assert "times as long" in text[0]
    assert answered(provider, 120, 600) > 0.85 * 480 * 40 / (4 * 1.3)


def test_adaptive_finds_the_rate_that_is_not_refused() -> None:
    provider = ModelProvider(seconds=4.0, requests=always(240))
    text = after(provider, 600.0)
    assert "requests a minute" in text[0]
    assert answered(provider, 120, 600) > 0.9 * 8 * 240
    assert sum(at > 120 for at in provider.refused) < 0.02 * 8 * 240


def test_adaptive_keeps_the_quota_in_the_headers() -> None:
    provider = ModelProvider(seconds=4.0, requests=always(240), headers=True)
    after(provider, 300.0)
    # Those that began before the first answer told of the quota are not counted.
    assert len(provider.refused) <= 2
    assert answered(provider, 60, 300) > 0.93 * 4 * 240


def test_adaptive_follows_a_capacity_that_falls_and_rises() -> None:
    provider = ModelProvider(seconds=4.0, concurrency=Steps([(0, 40), (200, 10), (500, 60)]))
    after(provider, 900.0)
    assert answered(provider, 260, 500) > 0.7 * 240 * 10 / 4
    assert answered(provider, 700, 900) > 0.8 * 200 * 60 / 4
    assert len(provider.refused) < 0.03 * len(provider.answered)


def test_an_unused_adaptive_limit_stays_as_it_is() -> None:
    provider = ModelProvider(seconds=4.0)
    text = after(provider, 300.0, callers=1)
    assert max(map(limit_in, text)) <= 8


@virtual_time
async def test_the_adaptive_limit_stays_within_its_bounds() -> None:
    provider = ModelProvider(seconds=1.0, concurrency=always(2))
    ledger = LeaseLedger()
    made = [worker(ledger, name, min=4, start=5, max=6) for name in "ab"]
    watch: set[int] = set()

    async def look() -> None:
        while True:
            watch.update(limits(made) if made[0]._models and made[1]._models else ())
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    await demand(made, provider, callers=20, seconds=60)
    looking.cancel()
    assert watch <= {4, 5, 6}
    assert 4 in watch


@virtual_time
async def test_all_workers_use_the_same_limit_and_explain_it() -> None:
    provider = ModelProvider(seconds=4.0, concurrency=always(20))
    ledger = LeaseLedger()
    made = [worker(ledger, f"w{n}") for n in range(4)]
    work = asyncio.create_task(demand(made, provider, callers=20, seconds=200))
    await asyncio.sleep(100)
    text = made[0].explain()
    assert len(set(limits(made))) == 1
    assert "over all workers" in text
    assert "refused with" in text
    assert " s ago" in text
    assert "\n" not in text
    await work


@virtual_time
async def test_a_worker_that_starts_later_begins_with_the_learned_limit() -> None:
    ledger = LeaseLedger()
    provider = ModelProvider(seconds=2.0, concurrency=always(30))
    first = worker(ledger, "first")
    work = asyncio.create_task(demand([first], provider, callers=50, seconds=120))
    await asyncio.sleep(100)
    late = worker(ledger, "late")
    waits = asyncio.create_task(
        late.admit(Work(level="call", run_id="r", roadmap_id="r", concept_id="c", key="model"))
    )
    permit = await waits
    await asyncio.sleep(2)
    assert limits([late]) == limits([first])
    assert limits([late])[0] > 20
    permit.release(Done())
    await work


@virtual_time
async def test_a_worker_that_dies_before_its_decision_loses_no_counts() -> None:
    ledger = LeaseLedger()
    provider = ModelProvider(seconds=2.0, concurrency=always(30))
    connections = [LedgerConnection(ledger) for _ in range(3)]
    made = [worker(connection, f"w{n}") for n, connection in enumerate(connections)]
    work = asyncio.create_task(demand(made, provider, callers=30, seconds=300))
    await asyncio.sleep(100)
    counters = await ledger.add_counts("adaptive:model", {})
    connections[0].cut()
    await asyncio.sleep(100)
    later = await ledger.add_counts("adaptive:model", {})
    assert later.version > counters.version, "the others continue"
    assert limits(made[1:])[0] > 20
    work.cancel()
    await asyncio.wait({work})


@virtual_time
async def test_no_count_is_lost_while_the_ledger_is_unreachable() -> None:
    ledger = Watched()
    one = worker(ledger)
    ledger.away = True
    permits = [await one.admit(WORK) for _ in range(8)]
    for permit in permits[:4]:
        permit.release(Done(seconds=1.0))
    await asyncio.sleep(60)
    assert 20 < ledger.updates < 100
    ledger.away = False
    await asyncio.sleep(1.5)
    assert ledger.sums["accepted"] == 8
    assert ledger.sums["0 answers quiz"] == 4
    for permit in permits[4:]:
        permit.release(Done(seconds=1.0))
    await one.close()


@virtual_time
async def test_an_invalid_state_is_replaced() -> None:
    ledger = Watched()
    assert await ledger.commit_decision("adaptive:m", version=0, state="{")
    one = worker(ledger)
    permit = await one.admit(WORK)
    await asyncio.sleep(10)
    assert (await ledger.add_counts("adaptive:m", {})).state != "{"
    permit.release(Done())
    await one.close()


@virtual_time
async def test_no_task_runs_on_an_idle_limit() -> None:
    ledger = Watched()
    one = worker(ledger)
    (await one.admit(WORK)).release(Done(seconds=1.0))
    await asyncio.sleep(10)
    before = ledger.updates
    await asyncio.sleep(600)
    assert ledger.updates == before
    await one.close()


@virtual_time
async def test_a_burst_of_refusals_reduces_the_limit_once() -> None:
    one = worker(LeaseLedger(), start=40)
    permits = [await one.admit(WORK) for _ in range(40)]
    for permit in permits[:20]:
        permit.release(RateLimited())
    await asyncio.sleep(0.1)
    for permit in permits[20:24]:
        permit.release(RateLimited())
    await asyncio.sleep(10)
    # 16 of 40 were taken; a cut takes half at most.
    assert limits([one]) == [20]
    for permit in permits[24:]:
        permit.release(Done(seconds=10.0))
    await one.close()


def test_adaptive_can_be_stacked_inside_a_limit_of_concepts() -> None:
    provider = ModelProvider(seconds=4.0, concurrency=always(20))

    def stacked(one: AdaptiveLimit) -> Strategy:
        return StrategyStack([("per-roadmap", PerRoadmap(100)), ("adaptive", one)])

    after(provider, 200.0, workers=2, stack=stacked)
    assert answered(provider, 60, 200) > 0.8 * 140 * 5


@virtual_time
async def test_adaptive_is_made_from_the_settings_and_must_be_last() -> None:
    ledger, plugins = MemoryLedger(), Plugins()
    context = Context(settings=Settings(), worker_id="w1", ledger=lambda: ledger)
    offer = plugins.strategy("adaptive")
    made = offer.make({"start": 3}, context, "strategies.adaptive")
    assert made.explain() == "starting with 3 calls"
    with pytest.raises(SettingsError, match="must be the last"):
        StrategyStack([("adaptive", made), ("per-roadmap", PerRoadmap(1))])
    permit = await made.admit(WORK)
    (holder,) = await ledger.held("adaptive:m")
    assert holder.startswith("w1-")
    assert made.explain() == "m: 3 calls in this process, 1 held here, 0 waiting"
    permit.release(Done())
    await made.close()


@pytest.mark.parametrize(
    ("options", "start"),
    [({}, 8), ({"max": 4}, 4), ({"min": 20}, 20), ({"min": 2, "max": 6, "start": 3}, 3)],
)
def test_the_adaptive_limit_starts_within_its_bounds(options: dict[str, int], start: int) -> None:
    assert worker(LeaseLedger(), "a", **options).explain() == f"starting with {start} calls"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"min": 9, "max": 8}, "must be min <= start <= max"),
        ({"start": 5, "max": 4}, "min = 1, start = 5, max = 4"),
        ({"min": 0}, "strategies.adaptive.min"),
        ({"maximum": 4}, "did you mean 'max'?"),
    ],
)
def test_contradictory_options_are_rejected(options: dict[str, int], text: str) -> None:
    with pytest.raises(SettingsError, match=text.replace("?", r"\?")):
        Plugins().strategy("adaptive").check(options, "strategies.adaptive")
