"""`paceline pause` and `resume` of targets, `limits`, `drain` and `audit`."""

import getpass

import pytest

from tests.support.cli_terminal import Terminal, a_roadmap, a_run

GLOBAL = ("--set", "strategy=global", "--set", "strategies.global.requests_per_minute=100")
KEY = "openai:gpt-4o"


def test_a_target_is_paused_and_resumed(paceline: Terminal) -> None:
    run = paceline.store(lambda store: a_run(store, a_roadmap("r", "c")))
    told = paceline("pause", "--everything", "--reason", "repair", "--by", "ops").out
    assert told == "everything is paused by ops: repair\n"
    assert "everything is paused by ops: repair" in paceline("status").out
    assert paceline("status", "--json").json["pauses"][0]["reason"] == "repair"
    assert "waits: everything is paused by ops: repair" in paceline("show", "r").out
    assert paceline("show", run.run_id, "--json").json["waits"].endswith("repair")
    paceline("pause", "--key", KEY, "--tenant", "acme")
    left = paceline("resume", "--everything", "--tenant", "acme", "--json").json["pauses"]
    assert [one["target"] for one in left] == [f"key:{KEY}"]
    assert paceline("resume", "--key", KEY).out == "nothing is paused\n"


@pytest.mark.parametrize(
    "words",
    [
        ("pause",),
        ("resume",),
        ("pause", "r", "--everything"),
        ("resume", "--everything", "--failed-only"),
        ("pause", "--key", "gpt"),
        ("pause", "--tenant", " "),
        ("limits", "set", "global", "requests_per_minute=1"),
        ("limits", "set", *GLOBAL, "global", "requests_per_minute=0"),
        ("limits", "set", *GLOBAL, "global", "requests_per_minute=many"),
        ("limits", "set", *GLOBAL, "global", "money=1"),
        ("limits", "set", *GLOBAL, "resource:x", "concurrency=1"),
        ("drain", "nobody"),
    ],
)
def test_a_wrong_target_or_number_changes_nothing(
    paceline: Terminal, words: tuple[str, ...]
) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "c")))
    paceline(*words, code=2)
    assert not paceline.store(lambda store: store.controls()).version


def test_limits_are_set_shown_and_reset(paceline: Terminal) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "c")))
    told = paceline("limits", "set", *GLOBAL, "global", "--key", KEY, "requests_per_minute=300").out
    assert told == f"global {KEY}: requests_per_minute=300\n"
    paceline("limits", "set", *GLOBAL, "global", "--key", KEY, "concurrency=5")
    shown = {one["key"]: one for one in paceline("limits", *GLOBAL, "--json").json["limits"]}
    assert shown[None]["settings"] == {"requests_per_minute": 100}
    assert shown[KEY]["changed"] == {"requests_per_minute": 300, "concurrency": 5}
    assert "requests_per_minute=300" in paceline("limits", *GLOBAL).out.replace("\n", "")
    assert "as in the settings" in paceline("limits", "reset", *GLOBAL, "global", "--key", KEY).out
    shown = {one["key"]: one for one in paceline("limits", *GLOBAL, "--json").json["limits"]}
    assert shown[KEY]["changed"] == {}


def test_the_audit_log_names_the_user_of_each_change(paceline: Terminal) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "c")))
    paceline("pause", "--tenant", "acme", "--reason", "unpaid")
    paceline("pause", "r", "--by", "alice")
    lines = paceline("audit", "--json").json["entries"]
    assert [(one["by"], one["action"]) for one in lines] == [
        ("alice", "pause"),
        (getpass.getuser(), "pause"),
    ]
    assert "unpaid" in paceline("audit").out
