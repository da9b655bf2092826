"""What one admission costs, by strategy, where nobody has to wait.

It shows the processor time of admitting and releasing in one process with the memory ledger. It
does not show waiting, a shared ledger's round trips, or the calls themselves, which cost far more.
"""

import asyncio
from collections.abc import Iterator

import pytest
from paceline.contracts.work import Done, Work
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.runtime.parts import make_strategy
from paceline.runtime.strategy_stack import StrategyStack
from paceline.settings.model import Settings
from paceline_adapters.memory.ledger import MemoryLedger
from pytest_benchmark.fixture import BenchmarkFixture

ADMISSIONS = 1000
STACKS = [["unbounded"], ["per-roadmap"], ["global"], ["per-roadmap", "global"]]
OPTIONS: dict[str, dict[str, object]] = {
    "per-roadmap": {"limit": 2 * ADMISSIONS},
    "global": {"concurrency": 2 * ADMISSIONS},
}


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all rounds."""
    with asyncio.Runner() as it:
        yield it


def works() -> list[Work]:
    """A concept and a call for each admission pair."""
    return [
        Work(level=level, run_id="r", roadmap_id="r", concept_id=f"c{number}", key="k")
        for number in range(ADMISSIONS // 2)
        for level in ("concept", "call")
    ]


@pytest.mark.benchmark(group="admission")
@pytest.mark.parametrize("names", STACKS, ids="+".join)
def test_a_thousand_admissions(
    benchmark: BenchmarkFixture, runner: asyncio.Runner, names: list[str]
) -> None:
    """Admit and release a thousand pieces of work, one after the other."""
    settings = Settings(
        strategy=names, strategies={name: OPTIONS[name] for name in names if name in OPTIONS}
    )

    async def build() -> StrategyStack:
        ledger = MemoryLedger(lease_seconds=30.0)
        context = Context(settings=settings, plugins=Plugins(), ledger=lambda: ledger)
        return make_strategy(settings, context.plugins, context)

    stack, asked = runner.run(build()), works()

    async def admit() -> None:
        for work in asked:
            permit = await stack.admit(work)
            permit.release(Done())

    benchmark(lambda: runner.run(admit()))
    benchmark.extra_info["admissions"] = ADMISSIONS
    runner.run(stack.close())
