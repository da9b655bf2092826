"""The cost and the benefit of a semaphore per roadmap."""

from collections.abc import Iterator

from paceline_adapters.bench.workload import examples, scaled

from benchmarks.experiment import measure_cells, paceline_cell
from benchmarks.verdicts.verdict import Verdict, middle, shown

#: The provider's limit of concurrent calls: slightly more than five per roadmap.
CAPACITY = 48


def verdicts(rounds: int) -> Iterator[Verdict]:
    """A provider without a limit, and one that rejects the 49th concurrent call."""
    free = scaled(examples(), speed=20.0)
    bound = scaled(free, concurrency=CAPACITY)
    unbounded, five = measure_cells(
        [
            paceline_cell("unbounded", "in-process", free),
            paceline_cell("per-roadmap:limit=5", "in-process", free),
        ],
        free,
        rounds=rounds,
    )
    refused, fitting, exact = measure_cells(
        [
            paceline_cell("unbounded", "in-process", bound),
            paceline_cell("per-roadmap:limit=5", "in-process", bound),
            paceline_cell(f"global:concurrency={CAPACITY}", "in-process", bound),
        ],
        bound,
        rounds=rounds,
    )
    costs = middle(five, "makespan") / middle(unbounded, "makespan")
    gains = middle(fitting, "makespan") / middle(refused, "makespan")
    helps = gains < 1 or middle(refused, "calls_refused") > middle(fitting, "calls_refused")
    if costs <= 1:
        verdict = "does not hold"
    else:
        verdict = "holds when nothing else is limited" if helps else "holds"
    yield Verdict(
        name="semaphore",
        claim="A semaphore per roadmap only costs throughput.",
        verdict=verdict,
        figures={
            "makespan, 5 per roadmap ÷ unbounded, no limit": f"{costs:.2f}",
            "makespan, unbounded, no limit": shown(unbounded, "makespan", "s", 1),
            "makespan, 5 per roadmap, no limit": shown(five, "makespan", "s", 1),
            f"makespan, unbounded, limit of {CAPACITY} calls": shown(refused, "makespan", "s", 1),
            f"makespan, 5 per roadmap, limit of {CAPACITY} calls": shown(
                fitting, "makespan", "s", 1
            ),
            f"makespan, global {CAPACITY}, limit of {CAPACITY} calls": shown(
                exact, "makespan", "s", 1
            ),
            "calls rejected, unbounded": shown(refused, "calls_refused"),
            "calls rejected, 5 per roadmap": shown(fitting, "calls_refused"),
            "calls rejected, global": shown(exact, "calls_refused"),
        },
    )
