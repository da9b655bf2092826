"""`paceline cancel`, `resume` (with its old name `retry`) and `recover`."""

from dataclasses import replace

import pytest
from paceline.contracts.identity import ProcessIdentity, this_process
from paceline.contracts.storage.records import ConceptState, Run, WorkerRecord
from paceline.contracts.storage.spending import Charge, Spent
from paceline.contracts.storage.store import Store

from tests.support.cli_terminal import Terminal, a_roadmap, a_run, save


def test_a_waiting_run_is_cancelled_at_once(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c")))
    assert f"{run.run_id}  cancelled  r" in paceline("cancel", "r").out
    assert paceline.store(lambda store: store.run(run.run_id)).status == "cancelled"
    assert "already cancelled" in paceline("cancel", run.run_id).out


def test_cancelling_a_running_run_asks_its_worker_to_stop(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "running"))
    [told] = paceline("cancel", run.run_id, "--json").json["runs"]
    assert (told["status"], told["cancel_requested"]) == ("running", True)
    assert "  stopping  " in paceline("cancel", run.run_id).out
    assert "cancelling" in paceline("status").out


def test_no_run_is_cancelled_if_one_is_unknown(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c")))
    assert "'nothing'" in paceline("cancel", "r", "nothing", code=2).err
    assert paceline.store(lambda store: store.run(run.run_id)).status == "queued"


def test_a_roadmaps_id_means_its_newest_run(paceline: Terminal) -> None:
    async def fill(store: Store) -> tuple[Run, Run]:
        roadmap = a_roadmap("r", "c")
        return await a_run(store, roadmap), await a_run(store, roadmap)

    older, newer = paceline.store(fill)
    paceline("cancel", "r")
    assert paceline.store(lambda store: store.run(older.run_id)).status == "queued"
    assert paceline.store(lambda store: store.run(newer.run_id)).status == "cancelled"


# -- pause -------------------------------------------------------------------------------


def test_a_queued_run_is_paused_until_it_is_resumed(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c")))
    assert f"{run.run_id}  paused  r" in paceline("pause", "r").out
    assert "paused: by request" in paceline("status").out
    assert "paused" in paceline("watch", "r", code=3).out
    assert f"{run.run_id}  queued again" in paceline("resume", "r").out


def test_pausing_a_running_run_is_requested_from_its_worker(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c"), "running"))
    assert f"{run.run_id}  pausing  r" in paceline("pause", "r").out
    [told] = paceline("pause", "r", "--json").json["runs"]
    assert (told["status"], told["pause_requested"]) == ("running", "by request")


def test_an_ended_run_cannot_be_paused(paceline: Terminal) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "partial"))
    assert "already partial" in paceline("pause", "r").out


# -- resume ------------------------------------------------------------------------------


async def a_cancelled_run(store: Store) -> Run:
    """A run of three concepts: one completed, one failed, one not reached."""
    run, _ = await store.create_run(a_roadmap("half", "good", "bad", "open"), executor="in-process")
    claim = await store.claim(run.run_id, "a-worker", lease=30)
    assert claim is not None
    await save(store, claim, "good", "tutorial", "resources", "quiz")
    await store.save_concept(
        claim,
        ConceptState(concept_id="bad", status="failed", reason="why"),
        charge=Charge(concept_id="bad", step="tutorial", spent=Spent(attempts=1)),
    )
    await store.finish(claim, "cancelled", None)
    return await store.run(run.run_id)


def statuses(paceline: Terminal, run: Run) -> dict[str, str]:
    """The status of each concept of a run."""
    states = paceline.store(lambda store: store.concepts(run.run_id))
    return {state.concept_id: state.status for state in states}


def test_resuming_queues_the_run_and_says_why_concepts_failed(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "partial"))
    said = paceline("resume", "r")
    assert f"{run.run_id}  queued again (1 failed, 0 missing)  r" in said.out
    assert "d: malformed answer: " in said.out
    assert "(4 attempts)" in said.out
    assert "paceline worker" in said.err
    again = paceline.store(lambda store: store.run(run.run_id))
    assert (again.status, again.completed, again.failed) == ("queued", 1, 0)
    [told] = paceline("resume", "r", "--json").json["runs"]
    assert told["status"] == "queued"


def test_resuming_generates_failed_and_missing_concepts(paceline: Terminal) -> None:
    run = paceline.store(a_cancelled_run)
    said = paceline("resume", "half")
    assert "queued again (1 failed, 1 missing)" in said.out
    assert "bad: why (1 attempt)" in said.out
    assert statuses(paceline, run) == {"good": "completed", "bad": "pending", "open": "pending"}


def test_failed_only_leaves_missing_concepts_out(paceline: Terminal) -> None:
    run = paceline.store(a_cancelled_run)
    assert "queued again" in paceline("resume", "half", "--failed-only").out
    assert statuses(paceline, run) == {"good": "completed", "bad": "pending", "open": "skipped"}


def test_missing_only_leaves_failed_concepts_failed(paceline: Terminal) -> None:
    run = paceline.store(a_cancelled_run)
    assert "queued again" in paceline("resume", "half", "--missing-only").out
    assert statuses(paceline, run) == {"good": "completed", "bad": "failed", "open": "pending"}


def test_failed_only_and_missing_only_exclude_each_other(paceline: Terminal) -> None:
    run = paceline.store(a_cancelled_run)
    said = paceline("resume", "half", "--failed-only", "--missing-only", code=2)
    assert "--failed-only and --missing-only exclude each other" in said.err
    assert paceline.store(lambda store: store.run(run.run_id)).status == "cancelled"


def test_json_has_the_last_answers_of_failed_concepts(paceline: Terminal) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "failed"))
    [told] = paceline("resume", "r", "--failed-only", "--json").json["runs"]
    [failed] = told["dead_letters"]
    assert (told["status"], told["submitted"], told["missing"]) == ("queued", "resumed", 0)
    assert (failed["concept_id"], failed["attempts"]) == ("d", 4)
    assert failed["last_answer"].startswith("```")


@pytest.mark.parametrize(
    ("option", "other", "reason"),
    [
        ("--failed-only", "whole", "is completed and has no failed concept"),
        ("--missing-only", "whole", "is completed and has no missing concept"),
        ("--failed-only", "waits", "is queued: --failed-only needs a run that has ended"),
        ("--missing-only", "waits", "is queued: --missing-only needs a run that has ended"),
    ],
)
def test_if_one_run_cannot_be_narrowed_no_run_is_queued(
    paceline: Terminal, option: str, other: str, reason: str
) -> None:
    async def fill(store: Store) -> Run:
        await a_run(store, a_roadmap("whole", "c"), "completed")
        await a_run(store, a_roadmap("waits", "c"))
        return await a_cancelled_run(store)

    half = paceline.store(fill)
    assert reason in paceline("resume", "half", other, option, code=2).err
    assert paceline.store(lambda store: store.run(half.run_id)).status == "cancelled"


def test_a_complete_run_has_nothing_to_resume(paceline: Terminal) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "c"), "completed"))
    said = paceline("resume", "r")
    assert "complete, nothing to do" in said.out
    assert said.err == ""


def test_the_old_name_retry_does_the_same_and_says_so(paceline: Terminal) -> None:
    run = paceline.store(a_cancelled_run)
    said = paceline("retry", "half", "--failed-only")
    assert "`paceline retry` is now `paceline resume`" in said.err
    assert f"{run.run_id}  queued again (1 failed, 1 missing)  half" in said.out
    assert statuses(paceline, run)["open"] == "skipped"
    assert "  retry  " not in paceline("--help").out


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


def test_recovering_queues_only_runs_without_a_living_worker(paceline: Terminal) -> None:
    here = this_process()
    dead = replace(here, started=here.started - 1000)  # a later process with the same pid

    async def fill(store: Store) -> tuple[Run, Run]:
        return await owned(store, "lost", dead), await owned(store, "lives", here)

    lost, lives = paceline.store(fill)
    assert f"{lost.run_id}  queued again" in paceline("recover").out
    assert paceline.store(lambda store: store.run(lost.run_id)).status == "queued"
    assert paceline.store(lambda store: store.run(lives.run_id)).status == "running"
    said = paceline("recover")
    assert said.out == ""
    assert "no run of executor in-process lost its worker; 1 are running" in said.err
    assert paceline("recover", "--json").json == {"runs": [], "running": 1}


def test_recovering_reports_failed_and_cancelled_runs(paceline: Terminal) -> None:
    dead = replace(this_process(), started=1.0)

    async def fill(store: Store) -> tuple[Run, Run]:
        poison = await owned(store, "poison", dead)
        unwanted = await owned(store, "unwanted", dead)
        await store.request_cancel(unwanted.run_id)
        return poison, unwanted

    poison, unwanted = paceline.store(fill)
    told = paceline("recover", "--json", "--set", "run.poison_after=1").json["runs"]
    assert {one["run_id"]: one["status"] for one in told} == {
        poison.run_id: "failed",
        unwanted.run_id: "cancelled",
    }
