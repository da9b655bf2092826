"""Messages that a busy worker holds while other workers are idle."""

from collections.abc import Iterator
from statistics import fmean

from paceline_adapters.bench.results import CellResults
from paceline_adapters.bench.workload import Workload, synthetic

from benchmarks.experiment import measure_cells, paceline_cell
from benchmarks.verdicts.verdict import Verdict, middle, shown

SPEED = 60.0


def verdicts(rounds: int) -> Iterator[Verdict]:
    """Ten tasks, the first of them long, for four worker processes with one task each."""
    long, short = synthetic(1, 10), synthetic(10, 5)
    workload = Workload(
        "a roadmap of ten concepts and nine of five",
        [*long.roadmaps, *short.roadmaps[1:]],
        speed=SPEED,
    )
    one, four = measure_cells(
        [
            paceline_cell(
                "per-roadmap:limit=1",
                f"celery:concurrency=1,prefetch_multiplier={multiplier}",
                workload,
                workers=4,
            )
            for multiplier in (1, 4)
        ],
        workload,
        rounds=rounds,
    )
    ratio = middle(four, "makespan") / middle(one, "makespan")
    yield Verdict(
        name="prefetch",
        claim="A prefetch multiplier of 4 leaves workers idle while tasks wait; 1 does not.",
        verdict="holds" if ratio > 1.1 else "does not hold",
        figures={
            "makespan with 1": shown(one, "makespan", "s", 1),
            "makespan with 4": shown(four, "makespan", "s", 1),
            "4 ÷ 1": f"{ratio:.2f}",
            "over the list schedule, with 1": shown(one, "over_schedule", "×", 2),
            "over the list schedule, with 4": shown(four, "over_schedule", "×", 2),
            "roadmaps active, mean, with 1": f"{mean_active(one):.1f} of 4",
            "roadmaps active, mean, with 4": f"{mean_active(four):.1f} of 4",
        },
    )


def mean_active(cell: CellResults) -> float:
    """Active roadmaps, mean over the makespan of the typical round."""
    line = cell.typical.timeline
    assert line is not None
    return fmean(line.roadmaps)
