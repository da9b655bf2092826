"""`paceline cancel` and `paceline resume`."""

from paceline.store import Run, Store

from tests.cli.conftest import Terminal, a_roadmap, a_run


def test_a_waiting_run_is_cancelled_at_once(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c")))
    assert f"{run.run_id}  cancelled  r" in paceline("cancel", "r").out
    assert paceline.store(lambda store: store.run(run.run_id)).status == "cancelled"
    assert "over already (cancelled)" in paceline("cancel", run.run_id).out


def test_the_worker_of_a_running_run_is_asked_to_stop(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "running"))
    [told] = paceline("cancel", run.run_id, "--json").json["runs"]
    assert (told["status"], told["cancel_requested"]) == ("running", True)
    assert "its worker is asked to stop" in paceline("cancel", run.run_id).out
    assert "cancelling" in paceline("status").out


def test_of_several_runs_none_is_cancelled_where_one_is_unknown(paceline: Terminal) -> None:
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


def test_resuming_queues_again_and_says_who_goes_on(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "partial"))
    said = paceline("resume", "r")
    assert f"{run.run_id}  queued again  r" in said.out
    assert "paceline worker" in said.err
    again = paceline.store(lambda store: store.run(run.run_id))
    assert (again.status, again.completed, again.failed) == ("queued", 1, 0)
    [told] = paceline("resume", "r", "--json").json["runs"]
    assert told["status"] == "queued"


def test_a_complete_run_has_nothing_to_resume(paceline: Terminal) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "c"), "completed"))
    said = paceline("resume", "r")
    assert "complete: nothing is missing" in said.out
    assert said.err == ""
