"""`paceline sinks`, and sinks in `status`, `doctor`, `config` and `run`."""

from pathlib import Path

import pytest
from paceline.contracts.storage.outbox import Rejection, SinkOutage, SinkRoute
from paceline.contracts.storage.store import Store

from tests.support.cli_terminal import Terminal, a_roadmap, a_run
from tests.support.webhook_receiver import SECRET


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the sink `files` that the settings name."""
    monkeypatch.setenv("PACELINE_SINKS__FILES__URL", str(tmp_path / "content"))
    return tmp_path / "content"


async def some_saved(store: Store) -> None:
    """A completed run with the artifacts of two concepts."""
    store.deliver_to([SinkRoute(sink="files")])
    await a_run(store, a_roadmap("one", "a", "b"), "completed")


async def dead_and_down(store: Store) -> None:
    """A dead letter, and a sink that is down."""
    await some_saved(store)
    batch = await store.claim_batch("files", limit=1, lease=30)
    dead = Rejection(id=batch.items[0].delivery.id, reason="answers 422", retry_in=None)
    await store.settle(batch, rejected=[dead], outage=SinkOutage(reason="no disk", retry_in=200))


def test_without_sinks_the_list_says_so(paceline: Terminal) -> None:
    paceline("db", "upgrade")
    said = paceline("sinks")
    assert said.out == ""
    assert "the settings have no sinks" in said.err


def test_deliver_needs_no_worker(paceline: Terminal, folder: Path) -> None:
    paceline.store(some_saved)
    assert "sink files: 7 deliveries wait" in paceline("status").out
    assert paceline("sinks", "--json").json["sinks"][0]["waiting"] == 7
    said = paceline("sinks", "deliver")
    assert said.out == "files: 7 delivered; everything is delivered\n"
    made = sorted(path.name for path in folder.rglob("*.md"))
    assert made == ["v1.md"] * 6
    assert len(list(folder.rglob("run.json"))) == 1
    assert paceline("sinks", "deliver", "--json").json["delivered"] == {"files": 0}


def test_a_sink_with_dead_letters_is_shown_everywhere_until_they_are_retried(
    paceline: Terminal, folder: Path
) -> None:
    paceline.store(dead_and_down)
    said = paceline("sinks", code=1)
    assert "no disk; next attempt in" in said.out
    assert "1 dead letter: paceline sinks retry files --dead" in said.out
    assert "answers 422" in said.out
    assert "sink files: down for" in paceline("status").out
    assert paceline("status", "--json").json["sinks"][0]["dead"] == 1
    doctor = paceline("doctor", "--json", code=1).json["findings"]
    levels = {one["level"] for one in doctor if one["part"] == "sink files"}
    assert levels == {"warning", "ok"}, "the state of the sink, and that it can be reached"
    paceline("sinks", "deliver", code=1)  # the pause of the sink is not over
    assert paceline("sinks", "retry").out == "1 dead letter due again\n"
    paceline("sinks", "deliver")
    paceline("sinks")


def test_unknown_names_and_options_are_refused_with_what_is_allowed(
    paceline: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = paceline("sinks", "retry", "fles", code=2)
    assert "unknown sink 'fles': did you mean 'files'?" in said.err
    for key, value, says in (
        ("SINKS__FILES__KEEY", "x", "sinks.files.keey is not a known field: did you mean 'key'?"),
        ("SINKS__MINE__URL", "x", "sinks.mine: unknown sink (allowed: files, webhook)"),
        ("SINKS__FILES__USE", "ftp", "sinks.files.use: unknown sink 'ftp'"),
        ("SINKS__FILES__STEPS", "quizz", "sinks.files.steps: 'quizz' is not in run.steps"),
        ("SINKS__FILES__KINDS", "runs", "sinks.files.kinds"),
        ("SINKS__WEBHOOK__URL", "http://x.example", "must set secret, secrets or secret_env"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(f"PACELINE_{key}", value)
            said = paceline("sinks", code=2)
        assert says in said.err
        assert "environment" in said.err


def test_secrets_of_sinks_are_never_shown(
    paceline: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACELINE_SINKS__WEBHOOK__URL", "http://127.0.0.1:1/hook?token=hidden-one")
    monkeypatch.setenv("PACELINE_SINKS__WEBHOOK__SECRET", SECRET)
    monkeypatch.setenv("PACELINE_SINKS__S3__USE", "files")
    monkeypatch.setenv("PACELINE_SINKS__S3__URL", "memory://x")
    monkeypatch.setenv("PACELINE_SINKS__S3__STORAGE__SECRET", "hidden-two")
    paceline("db", "upgrade")
    for *command, code in (
        ("config", "show", 0),
        ("config", "show", "--json", 0),
        ("doctor", 1),
        ("sinks", 0),
    ):
        said = paceline(*map(str, command), code=int(code))
        for secret in ("hidden-one", "hidden-two", SECRET):
            assert secret not in said.out + said.err, command
    assert "sinks.webhook.secret" in paceline("config", "show").out
