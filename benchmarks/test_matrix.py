"""Every cell of the matrix as a pytest-benchmark test: its makespans, and all other figures.

``pytest benchmarks --bench "--quick"`` measures; the usual options of pytest-benchmark
(``--benchmark-json``, ``--benchmark-compare``, ``--benchmark-group-by``) do the rest.
"""

from typing import Any

import pytest
from paceline_adapters.bench.results import Results
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.replay_clock import REPLAY_CLOCK


# The first test waits until all cells are measured.
@pytest.mark.timeout(0)
@pytest.mark.benchmark(timer=REPLAY_CLOCK.clock)
def test_makespan(benchmark: BenchmarkFixture, results: Results, cell: str) -> None:
    """Replay the rounds of one cell; its other figures are in ``extra_info``."""
    found = next((one for one in results.cells if one.name == cell), None)
    assert found is not None, f"{cell} could not be measured"
    benchmark.group = f"makespan, {found.store}"
    names = sorted({name for one in found.rounds for name in one.figures})
    benchmark.extra_info |= {
        "strategy": found.strategy,
        "executor": found.executor,
        "store": found.store,
        "contestant": found.contestant,
        "medians": {name: found.median(name) for name in names},
        "rounds": {name: found.values(name) for name in names},
    }
    makespans = found.values("makespan")
    pedantic: Any = benchmark.pedantic  # it has no type hints
    pedantic(REPLAY_CLOCK.replay(makespans), rounds=len(makespans), iterations=1)
