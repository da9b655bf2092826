"""`paceline cancel`, `resume`, `retry` and `recover`."""

from dataclasses import replace

from paceline.contracts.identity import ProcessIdentity, this_process
from paceline.contracts.records import Run, WorkerRecord
from paceline.contracts.store import Store

from tests.cli.conftest import Terminal, a_roadmap, a_run


def test_a_waiting_run_is_cancelled_at_once(paceline: Terminal) -> None:
    run = paceline.contracts.store(lambda store: a_run(store, a_roadmap("r", "c")))
    assert f"{run.run_id}  cancelled  r" in paceline("cancel", "r").out
    assert paceline.contracts.store(lambda store: store.run(run.run_id)).status == "cancelled"
    assert "over already (cancelled)" in paceline("cancel", run.run_id).out


def test_the_worker_of_a_running_run_is_asked_to_stop(paceline: Terminal) -> None:
    run = paceline.contracts.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "running"))
    [told] = paceline("cancel", run.run_id, "--json").json["runs"]
    assert (told["status"], told["cancel_requested"]) == ("running", True)
    assert "its worker is asked to stop" in paceline("cancel", run.run_id).out
    assert "cancelling" in paceline("status").out


def test_of_several_runs_none_is_cancelled_where_one_is_unknown(paceline: Terminal) -> None:
    run = paceline.contracts.store(lambda store: a_run(store, a_roadmap("r", "c")))
    assert "'nothing'" in paceline("cancel", "r", "nothing", code=2).err
    assert paceline.contracts.store(lambda store: store.run(run.run_id)).status == "queued"


def test_a_roadmaps_id_means_its_newest_run(paceline: Terminal) -> None:
    async def fill(store: Store) -> tuple[Run, Run]:
        roadmap = a_roadmap("r", "c")
        return await a_run(store, roadmap), await a_run(store, roadmap)

    older, newer = paceline.contracts.store(fill)
    paceline("cancel", "r")
    assert paceline.contracts.store(lambda store: store.run(older.run_id)).status == "queued"
    assert paceline.contracts.store(lambda store: store.run(newer.run_id)).status == "cancelled"


def test_resuming_queues_again_and_says_who_goes_on(paceline: Terminal) -> None:
    run = paceline.contracts.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "partial"))
    said = paceline("resume", "r")
    assert f"{run.run_id}  queued again  r" in said.out
    assert "paceline worker" in said.err
    again = paceline.contracts.store(lambda store: store.run(run.run_id))
    assert (again.status, again.completed, again.failed) == ("queued", 1, 0)
    [told] = paceline("resume", "r", "--json").json["runs"]
    assert told["status"] == "queued"


def test_a_complete_run_has_nothing_to_resume(paceline: Terminal) -> None:
    paceline.contracts.store(lambda store: a_run(store, a_roadmap("r", "c"), "completed"))
    said = paceline("resume", "r")
    assert "complete: nothing is missing" in said.out
    assert said.err == ""


# -- retry -------------------------------------------------------------------------------


def test_retrying_says_why_concepts_failed_and_gives_them_another_chance(
    paceline: Terminal,
) -> None:
    run = paceline.contracts.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "partial"))
    said = paceline("retry", "r")
    assert f"{run.run_id}  queued again: 1 failed, 0 missing  r" in said.out
    assert "d: malformed answer: " in said.out
    assert "(4 attempts)" in said.out
    assert "paceline worker" in said.err
    again = paceline.contracts.store(lambda store: store.run(run.run_id))
    assert (again.status, again.completed, again.failed) == ("queued", 1, 0)


def test_retrying_tells_machines_the_last_answer_too(paceline: Terminal) -> None:
    paceline.contracts.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "failed"))
    [told] = paceline("retry", "r", "--json").json["runs"]
    [letter] = told["dead_letters"]
    assert (told["status"], told["missing"]) == ("queued", 0)
    assert (letter["concept_id"], letter["attempts"]) == ("d", 4)
    assert letter["last_answer"].startswith("```")


def test_only_what_is_over_and_not_complete_can_be_retried(paceline: Terminal) -> None:
    async def fill(store: Store) -> Run:
        await a_run(store, a_roadmap("whole", "c"), "completed")
        await a_run(store, a_roadmap("waits", "c"))
        return await a_run(store, a_roadmap("half", "c", "d"), "partial")

    half = paceline.contracts.store(fill)
    assert "is completed: nothing failed" in paceline("retry", "half", "whole", code=2).err
    assert "`paceline resume`" in paceline("retry", "half", "waits", code=2).err
    assert paceline.contracts.store(lambda store: store.run(half.run_id)).status == "partial"


# -- recover -----------------------------------------------------------------------------


async def owned(store: Store, name: str, identity: ProcessIdentity) -> Run:
    """A running run whose worker is that process."""
    worker = WorkerRecord(
        worker_id=f"of-{name}",
        identity=identity,
        executor="in-process",
        concurrency=1,
        pool_max=1,
    )
    await store.register(worker)
    run, _ = await store.create_run(a_roadmap(name, "c"), executor="in-process")
    assert await store.claim(run.run_id, worker.worker_id, lease=600)
    return run


def test_recovering_queues_what_lost_its_worker_and_leaves_the_others(paceline: Terminal) -> None:
    here = this_process()
    dead = replace(here, started=here.started - 1000)  # a later process has its pid

    async def fill(store: Store) -> tuple[Run, Run]:
        return await owned(store, "lost", dead), await owned(store, "lives", here)

    lost, lives = paceline.contracts.store(fill)
    assert f"{lost.run_id}  queued again" in paceline("recover").out
    assert paceline.contracts.store(lambda store: store.run(lost.run_id)).status == "queued"
    assert paceline.contracts.store(lambda store: store.run(lives.run_id)).status == "running"
    said = paceline("recover")
    assert said.out == ""
    assert "no run of executor in-process lost its worker; 1 are being worked on" in said.err
    assert paceline("recover", "--json").json == {"runs": [], "running": 1}


def test_recovering_says_what_was_given_up_or_cancelled(paceline: Terminal) -> None:
    dead = replace(this_process(), started=1.0)

    async def fill(store: Store) -> tuple[Run, Run]:
        poison = await owned(store, "poison", dead)
        unwanted = await owned(store, "unwanted", dead)
        await store.request_cancel(unwanted.run_id)
        return poison, unwanted

    poison, unwanted = paceline.contracts.store(fill)
    told = paceline("recover", "--json", "--set", "run.poison_after=1").json["runs"]
    assert {one["run_id"]: one["status"] for one in told} == {
        poison.run_id: "failed",
        unwanted.run_id: "cancelled",
    }
