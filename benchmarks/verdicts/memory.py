"""What a coroutine costs, and what a concept in flight costs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from paceline_adapters.bench.workload import synthetic, scaled

from benchmarks.experiment import measure_cells, paceline_cell
from benchmarks.verdicts.verdict import Verdict, middle, shown

#: Slow enough that all two thousand are in their first call before the first one ends.
SPEED = 3.0
#: Resident memory per sleeping task, in a process that does nothing else.
_TASKS = """
import asyncio, json, psutil

async def concept() -> None:
    await asyncio.sleep(3600)

async def main() -> None:
    before = psutil.Process().memory_info().rss
    tasks = [asyncio.create_task(concept()) for _ in range(50_000)]
    await asyncio.sleep(0)
    print(json.dumps((psutil.Process().memory_info().rss - before) / len(tasks)))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

asyncio.run(main())
"""


def verdicts(rounds: int) -> Iterator[Verdict]:
    """Sleeping tasks, and two thousand concepts of the whole pipeline in their calls."""
    bare = median(_bytes_per_task() for _ in range(3))
    workload = scaled(synthetic(8, 250), speed=SPEED)
    contest = paceline_cell("unbounded", "in-process", workload)
    settings = {**contest.settings, "provider.max_connections": str(workload.concepts)}
    (cell,) = measure_cells([replace(contest, settings=settings)], workload, rounds=rounds)
    per_concept = middle(cell, "rss_per_concept")
    if _about_ten(bare / 1024):
        verdict = "holds"
    elif _about_ten(per_concept):
        verdict = "holds of a concept with its call, not of a coroutine"
    else:
        verdict = "does not hold"
    yield Verdict(
        name="memory",
        said="A coroutine costs about 10 KB.",
        verdict=verdict,
        figures={
            "a sleeping task": f"{bare / 1024:.1f} KiB",
            "a concept in flight": shown(cell, "rss_per_concept", "KiB"),
            "concepts in flight": shown(cell, "concepts_peak"),
            "calls in flight": shown(cell, "calls_peak"),
        },
    )


def _about_ten(kib: float) -> bool:
    """Half of it to twice as much."""
    return 5 <= kib <= 20


def _bytes_per_task() -> float:
    command = [sys.executable, "-c", _TASKS]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return float(json.loads(done.stdout))
