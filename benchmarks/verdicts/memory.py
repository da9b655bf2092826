"""Memory of a coroutine, and of a concept in flight."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from paceline_adapters.bench.workload import scaled, synthetic

from benchmarks.experiment import measure_cells, paceline_cell
from benchmarks.verdicts.verdict import Verdict, middle, shown

#: Slow enough that all two thousand concepts are in their first call at once.
SPEED = 3.0
#: A program that prints the resident memory per sleeping task.
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
    """Sleeping tasks, and two thousand concepts in flight in the whole pipeline."""
    bare = median(_bytes_per_task() for _ in range(3))
    workload = scaled(synthetic(8, 250), speed=SPEED)
    prepared = paceline_cell("unbounded", "in-process", workload)
    settings = {**prepared.settings, "provider.max_connections": str(workload.concepts)}
    (cell,) = measure_cells([replace(prepared, settings=settings)], workload, rounds=rounds)
    per_concept = middle(cell, "rss_per_concept")
    if _about_ten(bare / 1024):
        verdict = "holds"
    elif _about_ten(per_concept):
        verdict = "holds for a concept with its call, not for a coroutine"
    else:
        verdict = "does not hold"
    yield Verdict(
        name="memory",
        claim="A coroutine costs about 10 KB.",
        verdict=verdict,
        figures={
            "a sleeping task": f"{bare / 1024:.1f} KiB",
            "a concept in flight": shown(cell, "rss_per_concept", "KiB"),
            "concepts in flight": shown(cell, "concepts_peak"),
            "calls in flight": shown(cell, "calls_peak"),
        },
    )


def _about_ten(kib: float) -> bool:
    """Whether a size is between 5 and 20 KiB."""
    return 5 <= kib <= 20


def _bytes_per_task() -> float:
    command = [sys.executable, "-c", _TASKS]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return float(json.loads(done.stdout))
