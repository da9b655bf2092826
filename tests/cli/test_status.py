"""`paceline status`."""

from dataclasses import replace

from paceline.contracts.identity import ProcessIdentity, this_process
from paceline.contracts.storage.records import Figures, WorkerRecord
from paceline.contracts.storage.store import Store

from tests.support.cli_terminal import Terminal, a_roadmap, a_run


def a_worker(name: str, *runs: str, identity: ProcessIdentity | None = None) -> WorkerRecord:
    """A worker with these runs, each with 28 concepts in flight."""
    return WorkerRecord(
        worker_id=name,
        identity=identity or this_process(),
        executor="in-process",
        concurrency=8,
        pool_max=5,
        figures=Figures(
            runs=runs,
            concepts=28 * len(runs),
            calls=20 * len(runs),
            connections=2,
            events_per_second=12.34,
            strategy="unbounded (no limit)",
        ),
    )


async def busy(store: Store) -> None:
    """Two running runs, a queued and an ended one; a living worker and a dead one."""
    one = await a_run(store, a_roadmap("one", "a", "b"), "running")
    two = await a_run(store, a_roadmap("two", "a", "b"), "running")
    await a_run(store, a_roadmap("three", "a", "b"))
    await a_run(store, a_roadmap("four", "a", "b"), "completed")
    mine = this_process()
    await store.register(a_worker("alive", one.run_id, two.run_id))
    gone = ProcessIdentity(mine.host, mine.pid, mine.started - 1000)
    await store.register(a_worker("dead", "x", identity=gone))


def test_status_without_workers_shows_the_queue_and_how_to_start(paceline: Terminal) -> None:
    paceline("db", "upgrade")
    assert "No worker is running, and no roadmap is waiting." in paceline("status").out
    paceline.store(lambda store: a_run(store, a_roadmap("one", "a")))
    assert "1 roadmap waiting. To start a worker: paceline worker" in paceline("status").out


def test_status_explains_the_number_of_concepts_in_flight(paceline: Terminal) -> None:
    paceline.store(busy)
    said = paceline("status").out
    assert (
        "2 roadmaps are running, and workers take up to 8 at once. 56 concepts are in flight, 40"
        " of them in an LLM call. No limit holds concepts or calls back." in said
    )
    assert "runs: 2 running, 1 queued" in said
    assert "2 of 8" in said
    assert "Title of three" in said
    assert "Title of four" not in said


def test_json_has_every_figure_under_a_stable_name(paceline: Terminal) -> None:
    paceline.store(busy)
    status = paceline("status", "--json").json
    [worker] = status["workers"]
    assert worker["worker_id"] == "alive", "whose process is gone is none"
    assert worker["pid"] == this_process().pid
    assert (worker["concurrency"], worker["concepts"], worker["calls"]) == (8, 56, 40)
    assert (worker["connections"], worker["pool_max"]) == (2, 5)
    assert (worker["events_per_second"], worker["strategy"]) == (12.3, "unbounded (no limit)")
    assert (len(worker["active"]), worker["reserved"]) == (2, [])
    totals = status["totals"]
    assert (totals["roadmaps_active"], totals["roadmaps_reserved"]) == (2, 0)
    assert (totals["roadmaps_queued"], totals["concepts"], totals["calls"]) == (1, 56, 40)
    assert status["database"] == {
        "max_connections": None,
        "reserve": 10,
        "registered": 5,
        "in_use": 2,
    }
    assert {run["roadmap_id"] for run in status["runs"]} == {"one", "two", "three"}


def test_an_unreachable_store_exits_with_code_one_and_one_line(
    paceline: Terminal, closed_port: int
) -> None:
    paceline.setenv(
        PACELINE_STORE__URL=f"postgresql://me:hidden-password@127.0.0.1:{closed_port}/x"
    )
    said = paceline("status", code=1)
    assert said.out == ""
    assert str(closed_port) in said.err
    assert said.err.count("\n") == 1


def test_an_unreachable_queue_is_named_and_the_stores_part_is_shown(
    paceline: Terminal, closed_port: int
) -> None:
    paceline.store(busy)
    paceline.setenv(
        PACELINE_REDIS__URL=f"redis://:hidden-password@127.0.0.1:{closed_port}/0",
        PACELINE_EXECUTOR="celery",
    )
    said = paceline("status", code=1)
    assert str(closed_port) in said.err
    assert "56 concepts are in flight" in said.out
    shown = paceline("status", "--json", code=1).json
    assert len(shown["unreachable"]) == 1
    assert len(shown["workers"]) == 1


def test_the_sum_of_connections_is_shown_with_the_servers_limit(
    paceline: Terminal, postgres_url: str
) -> None:
    paceline.setenv(PACELINE_STORE__URL=postgres_url)
    paceline("db", "upgrade")
    paceline.store(busy)
    assert "pools may open 5 + 10 reserved = 15 ≤ " in paceline("status").out
    [allowed] = {
        paceline.store(_max),
        paceline("status", "--json").json["database"]["max_connections"],
    }
    assert allowed is not None


async def _max(store: Store) -> int | None:
    return (await store.budget()).server_max


async def lost(store: Store) -> None:
    """A run of a worker here that has exited, and one of a silent worker elsewhere."""
    here = await a_run(store, a_roadmap("here", "a"))
    there = await a_run(store, a_roadmap("there", "a"))
    mine = this_process()
    gone = ProcessIdentity(mine.host, mine.pid, mine.started - 1000)
    await store.register(a_worker("killed", here.run_id, identity=gone))
    await store.claim(here.run_id, "killed", lease=30)
    silent = ProcessIdentity("elsewhere", 1, 1.0)
    await store.register(a_worker("silent", there.run_id, identity=silent))
    await store.claim(there.run_id, "silent", lease=30)


def test_a_run_that_lost_its_worker_is_named_with_what_continues_it(paceline: Terminal) -> None:
    paceline.store(lost)
    found = paceline("status", "--json").json["lost"]
    assert [(one["recovered_in"], one["workers"]) for one in found] == [(0.0, 1)]
    run_id = found[0]["run_id"]
    said = paceline("status").out
    assert f"run {run_id} has lost its worker; a worker takes it over within seconds" in said
    assert f"paceline resume {run_id}" in said


async def refused(store: Store) -> None:
    """A run with calls that wait."""
    run = await a_run(store, a_roadmap("slow", "a"))
    worker = a_worker("me", run.run_id)
    figures = replace(worker.figures, trouble={run.run_id: "http://llm (429): slow down"})
    await store.register(replace(worker, figures=figures))
    await store.claim(run.run_id, "me", lease=30)


def test_calls_that_wait_for_long_are_shown_with_the_providers_words(paceline: Terminal) -> None:
    paceline.store(refused)
    assert "waits: http://llm (429): slow down" in paceline("status").out
    [worker] = paceline("status", "--json").json["workers"]
    assert list(worker["trouble"].values()) == ["http://llm (429): slow down"]
