"""The context and scope of runs on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from paceline.cli.request_options import read_context
from paceline.contracts.storage.records import Run
from paceline.contracts.storage.store import Store
from paceline.errors import ContextError, UsageError

from tests.support.cli_processes import simulator
from tests.support.cli_terminal import Terminal, a_roadmap, save


@pytest.fixture(autouse=True)
def roadmap(paceline: Terminal) -> None:
    """A roadmap of three concepts, of which one is in the first module."""
    (paceline.folder / "r.json").write_text(a_roadmap("r", "a", "b", "c").to_json())


def show(paceline: Terminal) -> Any:
    """The newest run of the roadmap."""
    return paceline("show", "r", "--json").json


def test_a_context_of_a_file_and_of_values_is_stored_with_the_run(paceline: Terminal) -> None:
    Path("learner.yaml").write_text("learner:\n  level: expert\n  since: 2026-01-02\n")
    paceline(
        "submit", "r.json", "--context", "learner.yaml", "--set-context", "learner.level=beginner",
        "--set-context", "hours=3", "--set-context", 'tags=["x"]',
    )  # fmt: skip
    context = {
        "learner": {"level": "beginner", "since": "2026-01-02"},
        "hours": 3,
        "tags": ["x"],
    }
    assert show(paceline)["context"] == context
    assert f"context: {json.dumps(context, sort_keys=True)}" in paceline("show", "r", "-v").out
    assert "context" not in paceline("show", "--json").json["runs"][0]
    said = paceline("submit", "r.json", "--set-context", "hours=4", code=2)
    assert "another context" in said.err
    assert "--new" in said.err
    paceline("submit", "r.json", "--new")
    assert show(paceline)["context"] == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("k=beginner", "beginner"),
        ("k=", ""),
        ("k=12", 12),
        ("k=1.5", 1.5),
        ("k=true", True),
        ('k="12"', "12"),
        ("k=[1, 2]", [1, 2]),
        ("k={a = 1}", {"a": 1}),
        ("k=2026-05-01", "2026-05-01"),
        ("k=1 # one", "1 # one"),
        ("k=1\nx = 2", "1\nx = 2"),
        ("k=a=b", "a=b"),
    ],
)
def test_a_value_is_read_as_toml_and_else_as_text(value: str, expected: object) -> None:
    assert read_context(None, [value]) == {"k": expected}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["level"], "--set-context must be KEY=VALUE"),
        (["a..b=1"], "--set-context must be KEY=VALUE"),
        (["a=1", "a.b=2"], "--set-context a.b: context.a must be an object, got 1"),
        (["a=[1"], "--set-context a: '[1' is not valid TOML"),
        (["a=inf"], "context.a: inf is not a JSON number"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_it(values: list[str], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_context(None, values)
    assert str(refused.value).startswith(says)


def test_a_wrong_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    with pytest.raises(UsageError, match="cannot be read"):
        read_context(path, [])
    for text, says in (
        ("[1]", "context must be an object, got list"),
        ('{"a": 1, "a": 2}', "context.a: duplicate key"),
        ("{", "not valid JSON at line 1"),
    ):
        path.write_text(text)
        with pytest.raises(ContextError) as refused:
            read_context(path, [])
        assert str(refused.value).startswith(f"{path}: {says}")


def test_the_schema_is_found_next_to_the_settings_file(paceline: Terminal) -> None:
    folder = paceline.folder / "etc"
    folder.mkdir()
    (folder / "schema.json").write_text('{"required": ["level"]}')
    (folder / "my.toml").write_text('[run]\ncontext_schema = "schema.json"\n')
    said = paceline("submit", "r.json", "--config", "etc/my.toml", code=2)
    assert "context: 'level' is a required property" in said.err
    assert paceline("show", "--json").json["runs"] == []
    paceline("submit", "r.json", "--config", "etc/my.toml", "--set-context", "level=1")
    (folder / "schema.json").write_text("{")
    said = paceline("submit", "r.json", "--config", "etc/my.toml", code=2)
    assert "schema.json: not valid JSON at line 1" in said.err


def test_a_part_of_the_roadmap_is_generated_and_later_the_rest(paceline: Terminal) -> None:
    with simulator("--speed", "200") as llm:
        paceline.setenv(OPENAI_BASE_URL=llm.base_url)
        first = paceline("run", "r.json", "--only", "first-module", "--steps", "tutorial").out
        assert "completed, 1/1 concept" in first
        shown = show(paceline)
        assert (shown["steps"], shown["only"]) == (["tutorial"], ["first-module"])
        assert [one["concept_id"] for one in shown["concepts"]] == ["a"]
        assert "only: first-module" in paceline("show", "r").out
        assert "its scope is first-module" in paceline("show", "r", "b", code=2).err
        paceline("export", "r", "--to", "out")
        assert "About b" not in Path("out/index.md").read_text()

        assert "completed, 3/3 concepts" in paceline("run", "r.json").out
        whole = show(paceline)
        assert (whole["run_id"], whole["only"]) == (shown["run_id"], [])
        assert [one["steps"] for one in whole["concepts"]] == [["tutorial"]] * 3

        said = paceline("resume", "r", "--steps", "quiz").out
        assert "queued again (0 failed, 3 missing)" in said
        waiting = paceline("status", "--json").json["runs"]
        assert [(one["steps"], one["only"]) for one in waiting] == [(["tutorial", "quiz"], [])]
        assert "completed, 3/3 concepts" in paceline("run", "r.json").out
        assert [one["steps"] for one in show(paceline)["concepts"]] == [["tutorial", "quiz"]] * 3


def test_no_roadmap_is_submitted_if_one_does_not_have_the_part(paceline: Terminal) -> None:
    Path("s.json").write_text(a_roadmap("s", "x").to_json())
    for command in ("submit", "run"):
        said = paceline(command, "r.json", "s.json", "--only", "concept:a", code=2)
        assert "only: unknown concept 'a'" in said.err
        assert len(said.err.splitlines()) == 1
    said = paceline("submit", "r.json", "--steps", "quizz", code=2)
    assert "unknown step 'quizz': did you mean 'quiz'?" in said.err
    assert paceline("show", "--json").json["runs"] == []


def test_no_run_is_resumed_if_one_does_not_have_the_part(paceline: Terminal) -> None:
    async def fill(store: Store) -> Run:
        run, _ = await store.create_run(a_roadmap("s", "x"), executor="in-process")
        claim = await store.claim(run.run_id, "w", lease=30)
        assert claim is not None
        await save(store, claim, "x", "tutorial", "resources", "quiz")
        await store.finish(claim, "completed")
        return run

    run = paceline.store(fill)
    paceline("submit", "r.json", "--only", "concept:a")
    said = paceline("resume", "s", "r", "--only", "concept:b", code=2)
    assert "only: unknown concept 'b'" in said.err
    assert paceline.store(lambda store: store.run(run.run_id)).status == "completed"
    said = paceline("resume", "r", "--only", "concept:b", "--failed-only", code=2)
    assert "--failed-only cannot be combined with --steps or --only" in said.err
    paceline("resume", "r", "--only", "concept:b")
    assert [one["concept_id"] for one in show(paceline)["concepts"]] == ["a", "b"]
