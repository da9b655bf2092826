"""`paceline show`."""

import pytest
from paceline.contracts.storage.store import Store

from tests.support.cli_terminal import HOSTILE, Terminal, a_roadmap, a_run, save


@pytest.fixture
def partial(paceline: Terminal) -> str:
    """A run of three concepts, the last of which failed."""
    roadmap = a_roadmap("learn-x", "one", "two/../three", "bad")
    return paceline.store(
        lambda store: a_run(store, roadmap, "partial", reason="1 of 3 concepts failed")
    ).run_id


def test_an_empty_store_shows_how_to_start(paceline: Terminal) -> None:
    paceline("db", "upgrade")
    said = paceline("show")
    assert said.out == ""
    assert "paceline run" in said.err
    assert paceline("show", "--json").json == {"runs": [], "before": None}


def test_runs_are_listed_newest_first_page_by_page(paceline: Terminal) -> None:
    async def fill(store: Store) -> list[str]:
        return [
            (await a_run(store, a_roadmap(f"r{number}", "c"), "completed")).run_id
            for number in range(5)
        ]

    ids = paceline.store(fill)
    first = paceline("show", "--limit", "3", "--json").json
    assert [one["run_id"] for one in first["runs"]] == ids[:1:-1]
    rest = paceline("show", "--limit", "3", "--before", first["before"], "--json").json
    assert [one["run_id"] for one in rest["runs"]] == ids[1::-1]
    assert rest["before"] is None
    assert "--before" in paceline("show", "--limit", "3").err
    assert paceline("show", "--roadmap", "r2").out.count("Title of") == 1
    assert "no run" in paceline("show", "--before", "nothing", code=2).err.lower()


def test_the_list_can_be_filtered_by_status(paceline: Terminal, partial: str) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("other", "c")))
    queued = paceline("show", "--status", "queued", "--json").json["runs"]
    assert [one["roadmap_id"] for one in queued] == ["other"]
    both = paceline("show", "--status", "queued", "--status", "partial", "--json").json["runs"]
    assert len(both) == 2
    assert "Invalid value" in paceline("show", "--status", "done", code=2).err


def test_a_run_shows_its_concepts_failures_tokens_and_cost(
    paceline: Terminal, partial: str
) -> None:
    for given in (partial, "learn-x"):
        said = paceline("show", given).out
        assert f"run {partial}: partial: 1 of 3 concepts failed" in said
        head = "2 of 3 concepts completed, 1 failed, 10 attempts, 280 tokens, cost 2.0000 USD"
        assert head in said
        assert "malformed answer" in said
        assert "tutorial, resources, quiz" in said
        assert "Dead letters:\n  bad: malformed answer" in said
        assert "last answer: ``` " in said
        assert f"paceline resume {partial} --failed-only" in said
    shown = paceline("show", partial, "--json").json
    assert shown["concepts"][2]["last_answer"] == f"``` {HOSTILE}"
    assert [one["status"] for one in shown["concepts"]] == ["completed", "completed", "failed"]
    assert shown["concepts"][0]["steps"] == ["tutorial", "resources", "quiz"]
    assert (shown["prompt_tokens"], shown["completion_tokens"], shown["cost"]) == (100, 180, 2.0)


def test_a_concept_is_shown_as_readable_text(paceline: Terminal, partial: str) -> None:
    said = paceline("show", partial, "two/../three").out
    for part in (
        "# About two/../three",
        "What List<String> means.",
        "### One",
        "- (A) this\n- (B) that\n        of two lines",
        "## Answers\n\n### Question 1\n\n- (B) that\n",
        "[A \\[page\\]](<https://example.org/>) (article)",
    ):
        assert part in said
    assert said.index("## Tutorial") < said.index("## Resources") < said.index("## Quiz")
    assert "[x]" not in said
    assert "## Quiz" not in paceline("show", partial, "one", "tutorial").out
    assert "## Answers" not in paceline("show", partial, "one", "tutorial").out


def test_json_contains_the_generated_content_unchanged(paceline: Terminal, partial: str) -> None:
    shown = paceline("show", partial, "one", "--json").json
    assert [one["step"] for one in shown["artifacts"]] == ["tutorial", "resources", "quiz"]
    assert shown["artifacts"][0]["content"]["title"] == f"Tutorial {HOSTILE}"
    assert paceline("show", partial, "bad", "--json").json["last_answer"] == f"``` {HOSTILE}"


@pytest.mark.parametrize("place", [[], ["one"], ["bad"]])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_hostile_content_cannot_control_the_terminal(
    paceline: Terminal, partial: str, place: list[str], form: list[str]
) -> None:
    said = paceline("show", partial, *place, *form).out
    assert not set(said) & set("\x1b\x07\x9b\u202e")
    if place:
        assert "[bold red]not markup[/]" in said, "what looks like markup is text"


def test_an_artifact_of_a_removed_step_is_shown_as_stored(
    paceline: Terminal,
) -> None:
    async def fill(store: Store) -> str:
        run = await a_run(store, a_roadmap("r", "c"))
        claim = await store.claim(run.run_id, "w", lease=30)
        assert claim is not None
        await save(store, claim, "c", "summary")
        return run.run_id

    said = paceline("show", paceline.store(fill), "c").out
    assert "## summary" in said
    assert "**Note:** kept as it is" in said


def test_an_unknown_name_is_reported_with_the_known_ones(paceline: Terminal, partial: str) -> None:
    assert "paceline show" in paceline("show", "nothing", code=2).err
    assert "did you mean 'one'?" in paceline("show", partial, "on", code=2).err
    assert "did you mean 'quiz'?" in paceline("show", partial, "one", "quis", code=2).err
    assert "has no artifact 'quiz'" in paceline("show", partial, "bad", "quiz", code=2).err


def test_a_fallback_is_shown_with_its_model_and_reason(paceline: Terminal) -> None:
    async def fill(store: Store) -> None:
        run, _ = await store.create_run(a_roadmap("r", "c", "d"), executor="in-process")
        claim = await store.claim(run.run_id, "a-worker", lease=30)
        assert claim is not None
        await save(store, claim, "c", "tutorial", complete=False)
        await save(store, claim, "c", "quiz", fallback=f"main: no credit {HOSTILE}")
        await save(store, claim, "d", "quiz")
        await store.finish(claim, "completed", None)

    paceline.store(fill)
    said = paceline("show", "r", "c").out
    assert "\n- tutorial by m\n- quiz by m, because main: no credit" in said
    artifacts = paceline("show", "r", "c", "--json").json["artifacts"]
    assert [(one["step"], one["model"], one["fallback"]) for one in artifacts] == [
        ("tutorial", "m", None),
        ("quiz", "m", f"main: no credit {HOSTILE}"),
    ]
    paceline("export", "r", "--to", "out")
    index = (paceline.folder / "out" / "index.md").read_text()
    [line] = [one for one in index.splitlines() if "About c" in one]
    assert "quiz by m, because main: no credit" in line
    [other] = [one for one in index.splitlines() if "About d" in one]
    assert "because" not in other
