"""Whole rounds with real processes and servers."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from paceline import PacelineError, SettingsError
from paceline.planning.stacks import Part, parse_stack
from paceline_adapters.bench.bounds import RoadmapCalls
from paceline_adapters.bench.cells import Cell
from paceline_adapters.bench.engine import RoundPlan, load, save
from paceline_adapters.bench.fairness import unfairness
from paceline_adapters.bench.figures import FIGURES
from paceline_adapters.bench.options import BenchOptions
from paceline_adapters.bench.recorded_latencies import recorded_latencies
from paceline_adapters.bench.results import CellResults, Results
from paceline_adapters.bench.workload import synthetic
from paceline_adapters.sql import schema
from pydantic import SecretStr

#: Two roadmaps of three concepts, each call between 0.1 and 0.3 s.
SMALL = BenchOptions(
    roadmaps=2, concepts=3, speed=100, rounds=1, warm_up=0, strategies=["global:concurrency=4"]
)
CONCEPTS, CALLS = 6, 18
#: Each run has a first and a last event; each concept has one for its start and per artifact.
EVENTS = 2 * 2 + CONCEPTS + CALLS


def measured(options: BenchOptions) -> tuple[Results, CellResults]:
    """The results, and their only cell."""
    results = options.bench().run()
    [cell] = results.cells
    return results, cell


def check_work(cell: CellResults) -> None:
    """Check the figures that every cell has for this work."""
    [found] = cell.rounds
    figures = found.figures
    assert figures["concepts_per_second"] * figures["makespan"] == pytest.approx(CONCEPTS)
    assert figures["calls_per_second"] * figures["makespan"] == pytest.approx(CALLS)
    assert figures["events_total"] == EVENTS
    assert 1 <= figures["coalesced_total"] < EVENTS
    assert figures["coalesced_peak"] <= 4 < figures["events_peak"]
    assert figures["coalesced_mean"] < figures["events_mean"]
    assert figures["calls_peak"] == 4
    assert figures["roadmaps_peak"] == 2
    assert 0 < figures["roadmap_end_p50"] <= figures["roadmap_end_p95"] < figures["makespan"] + 0.1
    assert figures["tokens_per_concept"] > 0
    assert 0 < figures["lower_bound"] <= figures["list_schedule"] < figures["makespan"]
    assert figures["cpu_per_call"] > 0
    assert figures["event_delay_p50"] <= figures["event_delay_p99"] < 1000 * figures["makespan"]
    assert figures["pool_timeouts"] == 0
    assert found.timeline is not None
    assert max(found.timeline.concepts) <= figures["concepts_peak"] <= CONCEPTS
    lengths = {len(values) for values in found.timeline.model_dump().values()}
    assert len(lengths) == 1


def test_a_round_in_one_process_on_sqlite(tmp_path: Path) -> None:
    results, cell = measured(
        SMALL.model_copy(update={"executors": ["in-process"], "stores": ["sqlite"]})
    )
    assert cell.name == "global:concurrency=4 / in-process / sqlite"
    check_work(cell)
    assert cell.rounds[0].figures["busy_waits"] == 0
    assert "connections_peak" not in cell.rounds[0].figures
    timeline = cell.rounds[0].timeline
    assert timeline is not None
    assert max(timeline.connections) >= 1, "its connections to the file, over time"
    save(results, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == results


def test_a_round_with_arq_workers_on_postgresql() -> None:
    _, cell = measured(SMALL.model_copy(update={"executors": ["arq"], "stores": ["postgresql"]}))
    check_work(cell)
    figures = cell.rounds[0].figures
    assert set(figures) == set(FIGURES) - {"busy_waits", "unfairness"}
    assert 1 <= figures["connections_mean"] <= figures["connections_peak"] <= 30
    # Saves are committed in groups, but each is a statement.
    assert figures["statements_per_concept"] >= CALLS / CONCEPTS
    assert 0 < figures["transactions_per_concept"] < figures["statements_per_concept"]


def test_a_store_in_the_memory_of_one_process_is_a_cell_of_in_process_executors() -> None:
    options = SMALL.model_copy(update={"stores": ["memory"]})
    [prepared] = options.bench().cells
    assert prepared.cell.name == "global:concurrency=4 / in-process / memory"
    _, cell = measured(options)
    check_work(cell)
    assert cell.store == "memory"
    assert "busy_waits" not in cell.rounds[0].figures


def test_the_bound_knows_the_limits_of_built_in_strategies_also_by_default() -> None:
    given = ["unbounded", "per-roadmap", "global", "per-roadmap:limit=3+global:concurrency=9"]
    options = SMALL.model_copy(update={"strategies": given, "stores": ["sqlite"]})
    cells = options.model_copy(update={"executors": ["in-process"]}).bench().cells
    found = [(cell.limits.concepts, cell.limits.calls) for cell in cells]
    assert found == [(None, None), (5, None), (None, 64), (3, 9)]


def test_roadmaps_of_several_sizes_have_a_figure_of_fairness(tmp_path: Path) -> None:
    paths = [tmp_path / "small.json", tmp_path / "large.json"]
    for path, concepts in zip(paths, (1, 4), strict=True):
        [roadmap] = synthetic(1, concepts).roadmaps
        own = roadmap.model_copy(update={"roadmap_id": path.stem, "title": f"The {path.stem} one"})
        path.write_text(own.model_dump_json())
    changes: dict[str, object] = {"files": paths, "roadmaps": None, "concepts": None}
    changes |= {"strategies": ["unbounded"], "executors": ["in-process"], "stores": ["sqlite"]}
    _, cell = measured(SMALL.model_copy(update=changes))
    figures = cell.rounds[0].figures
    assert 1 <= figures["unfairness"] < 3
    assert figures["roadmap_end_p50"] <= figures["roadmap_end_p95"]


def test_small_roadmaps_that_wait_for_large_ones_are_measured_as_unfair() -> None:
    one = [[(1.0, 1)]]
    plans = {"small": one, "large": one * 3}

    def alone(of: Sequence[RoadmapCalls]) -> float:
        return float(sum(len(plan) for plan in of))

    assert unfairness({"small": 1, "large": 3}, plans, alone) == pytest.approx(1.0)
    assert unfairness({"small": 4, "large": 3}, plans, alone) == pytest.approx(4.0)
    assert unfairness({"small": 1, "large": 6}, plans, alone) == pytest.approx(2.0)
    assert unfairness({"a": 1, "b": 9}, {"a": one, "b": one}, alone) is None
    assert unfairness({}, {}, alone) is None


PROGRAM = '''
"""Makes three calls per concept, one after another, and saves nothing."""
import json, sys, urllib.request

STRATEGY = "global:concurrency=1"

spec = json.load(open(sys.argv[1]))


def ask(roadmap, concept, step):
    body = {
        "model": spec["model"],
        "metadata": {"paceline_step": step},
        "messages": [{"role": "user", "content": f"Roadmap: {roadmap}\\nConcept: {concept}"}],
    }
    headers = {"content-type": "application/json", "authorization": "Bearer " + spec["api_key"]}
    request = urllib.request.Request(
        spec["base_url"] + "/chat/completions", json.dumps(body).encode(), headers
    )
    urllib.request.urlopen(request).close()


if __name__ == "__main__":
    print("ready", flush=True)
    assert sys.stdin.readline() == "go\\n"
    for path in spec["roadmaps"]:
        roadmap = json.load(open(path))
        for stage in roadmap["stages"]:
            for module in stage["modules"]:
                for concept in module["concepts"]:
                    for step in ("tutorial", "resources", "quiz"):
                        ask(roadmap["title"], concept["name"], step)
    print("done", flush=True)
    sys.stdin.read()
'''


@pytest.mark.soak
def test_a_hand_written_program_is_a_cell(tmp_path: Path) -> None:
    (tmp_path / "one_by_one.py").write_text(PROGRAM)
    (tmp_path / "helper.py").write_text("LIMIT = 3\n")
    options = SMALL.model_copy(
        update={
            "executors": ["in-process"],
            "stores": ("sqlite",),
            "contestants": tmp_path,
            "speed": 500.0,
        }
    )
    results = options.bench().run()
    assert [cell.contestant for cell in results.cells] == ["", "one-by-one"]
    ours, theirs = results.cells
    assert theirs.name == "one-by-one (by hand) / sqlite"
    figures = theirs.rounds[0].figures
    assert figures["calls_peak"] == 1
    assert figures["lower_bound"] == pytest.approx(figures["list_schedule"])
    assert figures["makespan"] > figures["lower_bound"]
    assert "events_total" not in figures
    assert results.ratios("makespan", ours.name)[theirs.name] == [
        figures["makespan"] / ours.rounds[0].figures["makespan"]
    ]


def test_wrong_options_are_refused_before_anything_starts(tmp_path: Path) -> None:
    wrong: dict[str, dict[str, object]] = {
        "unknown strategy 'globl': did you mean 'global'?": {"strategies": ["globl"]},
        "unknown executor 'cellery': did you mean 'celery'?": {"executors": ["cellery"]},
        "strategies.global.concurrency": {"strategies": ["global:concurrency=0"]},
        "no module there can run": {"contestants": tmp_path},
        "unknown store 'postgress': did you mean 'postgresql'?": {"stores": ["postgress"]},
        "store sqlite must be given without options": {"stores": ["sqlite:url=sqlite:///mine.db"]},
        "executor that works in one process": {"stores": ["memory"], "executors": ["arq"]},
        "each cell must be given once": {"strategies": ["global", "global"]},
        "latency of quiz": {"latency": {"quiz": "5-3"}},
        "cannot be read": {
            "files": [tmp_path / "missing.json"],
            "roadmaps": None,
            "concepts": None,
        },
    }
    for text, changes in wrong.items():
        with pytest.raises(PacelineError, match=text.replace("?", r"\?")):
            SMALL.model_copy(update=changes).bench()


def test_latencies_come_from_artifacts_with_one_attempt(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'real.db'}"
    schema.upgrade(SecretStr(url))
    with pytest.raises(SettingsError, match="no artifacts"):
        recorded_latencies(url)
    rows = [
        ("run", f"c{number}", step, seconds * number, attempts)
        for number in range(1, 101)
        for step, seconds, attempts in (("tutorial", 0.3, 1), ("quiz", 0.1, 1), ("other", 9, 2))
    ]
    with sqlite3.connect(tmp_path / "real.db") as database:
        database.executemany(
            "INSERT INTO artifacts (run_id, roadmap_id, concept_id, step, seconds, attempts, "
            "content, model, prompt_tokens, completion_tokens, created_at) "
            "VALUES (?, 'r', ?, ?, ?, ?, '{}', 'm', 1, 1, '2026-01-01T00:00:00.000Z')",
            rows,
        )
    database.close()
    # Artifacts with several attempts took longer than one answer.
    assert recorded_latencies(url) == {"quiz": (0.5, 9.5), "tutorial": (1.5, 28.5)}


def test_each_round_has_every_cell_once_in_a_new_order() -> None:
    schedule = list(RoundPlan(rounds=4, warm_up=1, seed=7).schedule(5))
    rounds = [[index for number, index in schedule if number == one] for one in range(5)]
    assert [sorted(order) for order in rounds] == [[0, 1, 2, 3, 4]] * 5
    assert len({tuple(order) for order in rounds}) > 1
    assert schedule == list(RoundPlan(rounds=4, warm_up=1, seed=7).schedule(5))


def test_a_cell_has_a_name_and_settings_from_its_parts() -> None:
    cell = Cell(
        parse_stack("per-roadmap:limit=3+global"), Part.parse("celery:pool=threads"), Part("sqlite")
    )
    assert cell.name == "per-roadmap:limit=3+global / celery:pool=threads / sqlite"
    assert cell.settings() == {
        "strategy": "per-roadmap,global",
        "executor": "celery",
        "strategies.per-roadmap.limit": "3",
        "executors.celery.pool": "threads",
    }
    with pytest.raises(SettingsError, match="NAME:KEY=VALUE"):
        Part.parse("celery:pool")
