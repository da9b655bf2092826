"""`paceline purge`."""

import pytest
from paceline.contracts.share import Share
from paceline.contracts.storage.records import Run
from paceline.contracts.storage.store import Store
from paceline.errors import RunNotFound
from paceline.testing.contracts.store.inputs import worker

from tests.support.cli_terminal import Terminal, a_roadmap, a_run


def test_a_purged_run_is_one_that_does_not_exist(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "partial"))
    assert "purged 1 run with 3 artifacts" in paceline("purge", "r", "--yes").out
    for command in ("show", "watch", "purge"):
        arguments = ("--yes",) if command == "purge" else ()
        assert run.run_id in paceline(command, run.run_id, *arguments, code=2).err
    assert paceline("status", "--json").json["runs"] == []


def test_scripts_must_say_yes(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c"), "completed"))
    assert "--yes" in paceline("purge", "r", code=2).err
    assert paceline.store(lambda store: store.run(run.run_id)) == run


@pytest.mark.parametrize("answer", [True, False])
def test_a_terminal_is_asked_with_the_number_of_runs_and_artifacts(
    paceline: Terminal, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "partial"))
    asked: list[str] = []

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return answer

    monkeypatch.setattr("paceline.cli.commands.operate.purge.asks", lambda: True)
    monkeypatch.setattr("click.confirm", confirm)
    paceline("purge", "r", code=0 if answer else 1)
    assert asked == ["Delete 1 run with 3 artifacts? This cannot be undone."]
    assert bool(paceline.store(lambda store: store.runs())) is not answer
    assert run.status == "partial"


def test_a_dry_run_lists_and_deletes_nothing(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "partial"))
    said = paceline("purge", "--older-than", "0s", "--dry-run").out
    assert run.run_id in said
    assert "1 run with 3 artifacts; nothing was deleted" in said
    (listed,) = paceline("purge", "r", "--dry-run", "--json").json["purgeable"]
    assert (listed["run_id"], listed["artifacts"]) == (run.run_id, 3)
    assert paceline("purge", "--older-than", "90d", "--yes", "--json").json == {"purged": []}
    assert paceline.store(lambda store: store.run(run.run_id)) == run


def test_a_running_run_is_refused_and_nothing_is_deleted(paceline: Terminal) -> None:
    async def fill(store: Store) -> tuple[Run, Run]:
        acme = Share("acme")
        await store.register(worker("a-worker"))
        return (
            await a_run(store, a_roadmap("r", "c"), "completed", share=acme),
            await a_run(store, a_roadmap("busy", "c", "d"), "running", share=acme),
        )

    _, busy = paceline.store(fill)
    for arguments in (("r", "busy"), ("--tenant", "acme")):
        assert f"run {busy.run_id} is running" in paceline("purge", *arguments, "--yes", code=2).err
    assert len(paceline.store(lambda store: store.runs())) == 2
    assert "purged 1 run" in paceline("purge", "--older-than", "0", "--yes").out
    assert [run.run_id for run in paceline.store(lambda store: store.runs())] == [busy.run_id]


def test_a_tenant_is_deleted_with_its_queued_runs(paceline: Terminal) -> None:
    async def fill(store: Store) -> None:
        for tenant in ("acme", "rival", ""):
            await a_run(store, a_roadmap("r", "c"), "completed", share=Share(tenant))
            await a_run(store, a_roadmap("q", "c"), share=Share(tenant))

    paceline.store(fill)
    purged = paceline("purge", "--tenant", "acme", "--yes", "--json").json["purged"]
    assert [one["artifacts"] for one in purged] == [3, 0]
    left = paceline.store(lambda store: store.runs())
    assert sorted(run.share.tenant for run in left) == ["", "", "rival", "rival"]


def test_an_interrupted_purge_is_continued_by_the_same_command(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c", "d"), "partial"))
    paceline.store(lambda store: store.hide(run.run_id))
    assert run.run_id in paceline("show", run.run_id, code=2).err
    assert "purged 1 run with 3 artifacts" in paceline("purge", run.run_id, "--yes").out
    with pytest.raises(RunNotFound):
        paceline.store(lambda store: store.hide(run.run_id))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--tenant or --older-than"),
        (("r", "--tenant", "acme"), "RUN cannot be combined"),
        (("--older-than", "soon"), "such as 12h or 90d, got 'soon'"),
        (("unknown",), "'unknown'"),
    ],
)
def test_wrong_arguments_are_usage_errors(
    paceline: Terminal, arguments: tuple[str, ...], says: str
) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "c")))
    assert says in paceline("purge", *arguments, "--yes", code=2).err
