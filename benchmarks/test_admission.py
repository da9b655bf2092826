"""The cost of one admission by strategy, without waiting.

The processor time of admissions and releases in one process with the memory ledger. Waiting, round
trips to a shared ledger, and the calls themselves cost far more and are not included.
"""

import asyncio
from collections.abc import Iterator

import pytest
from paceline import App, Done, Settings, Strategy, Work
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


def work_items() -> list[Work]:
    """Alternating concepts and calls."""
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
    """Admit and release a thousand work items, one after another."""
    settings = Settings(
        strategy=names, strategies={name: OPTIONS[name] for name in names if name in OPTIONS}
    )

    async def build() -> Strategy:
        ledger, factory = MemoryLedger(lease_seconds=30.0), App(settings).factory
        return factory.strategy(factory.context(ledger=lambda: ledger))

    stack, items = runner.run(build()), work_items()

    async def admit() -> None:
        for work in items:
            permit = await stack.admit(work)
            permit.release(Done())

    benchmark(lambda: runner.run(admit()))
    benchmark.extra_info["admissions"] = ADMISSIONS
    runner.run(stack.close())
