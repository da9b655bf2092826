"""Synthetic benchmark results, generated from a seed."""

from collections.abc import Sequence
from math import exp, sin
from random import Random

from paceline_adapters.bench.cells import Cell, matrix
from paceline_adapters.bench.results import (
    CellResults,
    Machine,
    Results,
    Round,
    Timeline,
    WorkloadFacts,
)

STRATEGIES = ("unbounded", "per-roadmap:limit=5", "per-roadmap:limit=8+global:concurrency=64")
EXECUTORS = ("in-process", "celery", "arq")
STORES = ("postgresql", "sqlite")
CONTESTANTS = ("gather", "gather + semaphore", "celery + asyncio.run")
_CONCEPTS = 227


def sample_results(
    *,
    strategies: Sequence[str] = STRATEGIES,
    executors: Sequence[str] = EXECUTORS,
    stores: Sequence[str] = STORES,
    contestants: Sequence[str] = CONTESTANTS,
    rounds: int = 5,
    seed: int = 1,
    speed: float = 5.0,
) -> Results:
    """Results of a matrix and of hand-written programs."""
    draw = Random(seed)
    cells = matrix(strategies, executors, stores)
    for name in contestants:
        base = cells[0]
        cells.append(Cell(base.strategy, base.executor, base.store, contestant=name))
    measured = [
        _measured(cell, index, len(cells), rounds, draw) for index, cell in enumerate(cells)
    ]
    return Results(
        paceline="0.1.0",
        made_at="2026-11-24T22:40:00Z",
        command="paceline bench --rounds 5 --report out",
        machine=Machine(
            cores=2,
            memory_gib=7.8,
            system="Linux 6.1 x86_64",
            python="3.11.7",
            versions={"celery": "5.6.3", "arq": "0.28.0", "PostgreSQL": "18.6", "Valkey": "9.1.2"},
        ),
        workload=workload(speed=speed),
        cells=measured,
    )


def workload(
    *, speed: float = 5.0, rpm: int | None = None, tpm: int | None = None
) -> WorkloadFacts:
    """The eight example roadmaps."""
    titles = (
        "Backend",
        "SQL",
        "机器学习基础",
        "Frontend",
        "Go",
        "Kubernetes",
        "Security",
        "Statistics",
    )
    return WorkloadFacts(
        name="examples",
        seed=42,
        speed=speed,
        roadmaps=dict(zip(titles, (30, 25, 28, 32, 27, 30, 29, 26), strict=True)),
        latency={"tutorial": [20.0, 30.0], "resources": [15.0, 20.0], "quiz": [10.0, 15.0]},
        rpm=rpm,
        tpm=tpm,
    )


def cell_of(
    name: str, store: str = "postgresql", **figures: float | Sequence[float]
) -> CellResults:
    """A cell with these figures: one value per round, or one value for three rounds."""
    lists = {
        key: [value] * 3 if isinstance(value, (int, float)) else list(value)
        for key, value in figures.items()
    }
    count = max(map(len, lists.values()), default=0)
    return CellResults(
        name=name,
        strategy=name,
        executor="in-process",
        store=store,
        settings={"strategy": name, "executor": "in-process"},
        rounds=[
            Round(number=n + 1, order=n, figures={key: each[n] for key, each in lists.items()})
            for n in range(count)
        ],
    )


def results_of(*cells: CellResults, **quotas: int) -> Results:
    """Results of these cells, measured at speed 1."""
    machine = Machine(cores=2, memory_gib=4, system="Linux", python="3.11", versions={})
    return Results(
        paceline="0.1.0",
        made_at="2026-11-24T22:40:00Z",
        command="paceline bench",
        machine=machine,
        workload=workload(speed=1.0, **quotas),
        cells=list(cells),
    )


def _measured(cell: Cell, index: int, count: int, rounds: int, draw: Random) -> CellResults:
    limit = next(
        (float(v) for p in cell.strategy for k, v in p.options if p.name == "per-roadmap"), 0
    )
    flight = min(_CONCEPTS, limit * 8) if limit else float(_CONCEPTS)
    makespan = 14.0 * _CONCEPTS / flight * 0.8 if limit else 15.0
    overhead = {"in-process": 1.02, "celery": 1.09, "arq": 1.06}.get(cell.executor.name, 1.1)
    processes = {"in-process": 1, "celery": 8}.get(cell.executor.name, 2)
    found: list[Round] = []
    for number in range(rounds):
        span = makespan * overhead * draw.uniform(0.98, 1.04)
        figures = _figures(cell, span, flight, processes, makespan, draw)
        found.append(
            Round(
                number=number + 1,
                order=number * count + index,
                figures=figures,
                timeline=_timeline(span, flight, figures, processes, draw),
            )
        )
    return CellResults(
        name=cell.name,
        strategy="+".join(map(str, cell.strategy)),
        executor=str(cell.executor),
        store=str(cell.store),
        contestant=cell.contestant,
        settings=dict(cell.settings()),
        rounds=found,
    )


def _figures(
    cell: Cell, span: float, flight: float, processes: int, bound: float, draw: Random
) -> dict[str, float]:
    def about(value: float) -> float:
        return value * draw.uniform(0.94, 1.06)

    figures = {
        "makespan": span,
        "lower_bound": bound,
        "over_bound": span / bound,
        "list_schedule": 1.01 * bound,
        "over_schedule": span / (1.01 * bound),
        "roadmap_end_p50": 0.7 * span,
        "roadmap_end_p95": 0.98 * span,
        "unfairness": about(1.1),
        "tokens_per_concept": 900.0,
        "concepts_per_second": _CONCEPTS / span,
        "calls_per_second": 3 * _CONCEPTS / span,
        "calls_refused": 0.0,
        "cpu_per_call": about(3.1 + processes * 0.2),
        "rss_peak": about(95.0 + 60 * processes),
        "rss_per_concept": about(48.0),
        "transactions_per_concept": about(1.4 if flight > 100 else 2.7),
        "statements_per_concept": about(6.2),
        "commit_p50": about(1.2),
        "commit_p99": about(7.9),
        "checkout_p50": about(0.05),
        "checkout_p99": about(2.0 + flight / 30),
        "pool_timeouts": 0.0,
        "calls_peak": flight,
        "concepts_peak": flight,
        "roadmaps_peak": 8.0,
    }
    if cell.store.name == "postgresql":
        connections = float(round(about(min(30, 4 + flight / 12) + 3 * processes)))
        figures |= {
            "connections_peak": connections,
            "connections_mean": connections * 0.7,
            "active_peak": float(round(connections * 0.4)),
            "active_mean": connections * 0.06,
            "lock_waits": float(draw.randint(0, 2)),
        }
    else:
        figures["busy_waits"] = float(draw.randint(0, 9))
    if not cell.contestant:
        figures |= {
            "events_total": 8 + 2.0 * _CONCEPTS,
            "events_peak": float(round(about(flight * 0.9))),
            "events_mean": (8 + 2 * _CONCEPTS) / span,
            "coalesced_total": float(round(about(span * 3.5))),
            "coalesced_peak": 4.0,
            "coalesced_mean": 3.5,
            "event_delay_p50": about(3.0),
            "event_delay_p99": about(24.0),
        }
    return figures


def _timeline(
    span: float, flight: float, figures: dict[str, float], processes: int, draw: Random
) -> Timeline:
    seconds = [step * span / 80 for step in range(81)]
    alive = [flight * (1 / (1 + exp((second / span - 0.88) * 40))) for second in seconds]
    connections = figures.get("connections_peak", 10.0)
    events = figures.get("events_peak", 0.0)
    return Timeline(
        seconds=seconds,
        roadmaps=[8.0 if value > 8 else value for value in alive],
        concepts=[float(round(value * draw.uniform(0.97, 1.0))) for value in alive],
        calls=alive,
        connections=[
            float(round(processes + (connections - processes) * abs(sin(second * 1.1))))
            for second in seconds
        ],
        events=[
            events * exp(-second) + events * 0.3 * abs(sin(second * 0.9)) for second in seconds
        ],
    )
