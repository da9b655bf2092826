"""Whole rounds, in processes and on servers of their own."""

import sqlite3
from pathlib import Path

import pytest
from paceline.errors import PacelineError, SettingsError
from paceline_adapters.bench.asked import Asked
from paceline_adapters.bench.cells import Cell, Part, parse_stack
from paceline_adapters.bench.engine import Plan, load, save
from paceline_adapters.bench.figures import FIGURES
from paceline_adapters.bench.recorded import recorded_latencies
from paceline_adapters.bench.results import CellResults, Results
from paceline_adapters.sql import schema
from pydantic import SecretStr

#: Two roadmaps of three concepts, each call between 0.1 and 0.3 s.
LITTLE = Asked(
    roadmaps=2, concepts=3, speed=100, rounds=1, warm_up=0, strategies=["global:concurrency=4"]
)
CONCEPTS, CALLS = 6, 18
#: Each run tells where it begins and ends; each concept that it begins, and each artifact.
EVENTS = 2 * 2 + CONCEPTS + CALLS


def measured(asked: Asked) -> tuple[Results, CellResults]:
    """The results, and the only cell in them."""
    results = asked.bench().run()
    [cell] = results.cells
    return results, cell


def check_work(cell: CellResults) -> None:
    """What any cell must have seen of this work."""
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
    assert 0 < figures["lower_bound"] <= figures["list_schedule"] < figures["makespan"]
    assert figures["cpu_per_call"] > 0
    assert figures["event_delay_p50"] <= figures["event_delay_p99"] < 1000 * figures["makespan"]
    assert figures["pool_timeouts"] == 0
    assert found.timeline is not None
    assert max(found.timeline.concepts) <= figures["concepts_peak"] <= CONCEPTS
    lengths = {len(values) for values in found.timeline.model_dump().values()}
    assert len(lengths) == 1


def test_a_round_runs_in_one_process_on_sqlite(tmp_path: Path) -> None:
    results, cell = measured(
        LITTLE.model_copy(update={"executors": ["in-process"], "stores": ["sqlite"]})
    )
    assert cell.name == "global:concurrency=4 / in-process / sqlite"
    check_work(cell)
    assert cell.rounds[0].figures["busy_waits"] == 0
    assert "connections_peak" not in cell.rounds[0].figures
    save(results, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == results


def test_a_round_runs_with_arq_workers_on_postgresql() -> None:
    _, cell = measured(LITTLE.model_copy(update={"executors": ["arq"], "stores": ["postgresql"]}))
    check_work(cell)
    figures = cell.rounds[0].figures
    assert set(figures) == set(FIGURES) - {"busy_waits"}
    assert 1 <= figures["connections_mean"] <= figures["connections_peak"] <= 30
    # Saves are committed in groups, and yet each is a statement.
    assert figures["statements_per_concept"] >= CALLS / CONCEPTS
    assert 0 < figures["transactions_per_concept"] < figures["statements_per_concept"]


PROGRAM = '''
"""Asks for each concept in three steps, one after the other, and saves nothing."""
import json, sys, urllib.request

STRATEGY = "global:concurrency=1"

told = json.load(open(sys.argv[1]))


def ask(roadmap, concept, step):
    body = {
        "model": told["model"],
        "metadata": {"paceline_step": step},
        "messages": [{"role": "user", "content": f"Roadmap: {roadmap}\\nConcept: {concept}"}],
    }
    headers = {"content-type": "application/json", "authorization": "Bearer " + told["api_key"]}
    request = urllib.request.Request(
        told["base_url"] + "/chat/completions", json.dumps(body).encode(), headers
    )
    urllib.request.urlopen(request).close()


if __name__ == "__main__":
    print("ready", flush=True)
    assert sys.stdin.readline() == "go\\n"
    for path in told["roadmaps"]:
        roadmap = json.load(open(path))
        for stage in roadmap["stages"]:
            for module in stage["modules"]:
                for concept in module["concepts"]:
                    for step in ("tutorial", "resources", "quiz"):
                        ask(roadmap["title"], concept["name"], step)
    print("done", flush=True)
    sys.stdin.read()
'''


def test_a_handwritten_program_is_a_cell_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "one_by_one.py").write_text(PROGRAM)
    (tmp_path / "helper.py").write_text("LIMIT = 3\n")
    asked = LITTLE.model_copy(
        update={
            "executors": ["in-process"],
            "stores": ("sqlite",),
            "contestants": tmp_path,
            "speed": 500.0,
        }
    )
    results = asked.bench().run()
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


def test_a_cell_that_cannot_be_measured_is_rejected_before_anything_starts(tmp_path: Path) -> None:
    wrong: dict[str, dict[str, object]] = {
        "unknown strategy 'globl': did you mean 'global'?": {"strategies": ["globl"]},
        "unknown executor 'cellery': did you mean 'celery'?": {"executors": ["cellery"]},
        "strategies.global.concurrency": {"strategies": ["global:concurrency=0"]},
        "no module there can be run": {"contestants": tmp_path},
        "the same cell twice": {"strategies": ["global", "global"]},
        "latency of quiz": {"latency": {"quiz": "5-3"}},
        "cannot be read": {
            "files": [tmp_path / "missing.json"],
            "roadmaps": None,
            "concepts": None,
        },
    }
    for text, changes in wrong.items():
        with pytest.raises(PacelineError, match=text.replace("?", r"\?")):
            LITTLE.model_copy(update=changes).bench()


def test_latencies_are_those_of_a_real_run(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'real.db'}"
    schema.upgrade(SecretStr(url))
    with pytest.raises(SettingsError, match="no artifact"):
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
    # What was tried again took longer than an answer does, and says nothing of the provider.
    assert recorded_latencies(url) == {"quiz": (0.5, 9.5), "tutorial": (1.5, 28.5)}


def test_each_round_has_every_cell_once_in_a_different_order() -> None:
    turns = list(Plan(rounds=4, warm_up=1, seed=7).turns(5))
    rounds = [[place for number, place in turns if number == one] for one in range(5)]
    assert [sorted(places) for places in rounds] == [[0, 1, 2, 3, 4]] * 5
    assert len({tuple(places) for places in rounds}) > 1
    assert turns == list(Plan(rounds=4, warm_up=1, seed=7).turns(5))


def test_a_cell_is_identified_by_its_parts_and_their_options() -> None:
    cell = Cell(
        parse_stack("per-roadmap:limit=3+global"), Part.parse("celery:pool=threads"), "sqlite"
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
