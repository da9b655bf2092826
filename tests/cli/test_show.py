"""`paceline show`."""

import pytest
from paceline.contracts.store import Store

from tests.support.cli_terminal import HOSTILE, Terminal, a_roadmap, a_run, save


@pytest.fixture
def partial(paceline: Terminal) -> str:
    """A run of three concepts, the last of which failed."""
    roadmap = a_roadmap("learn-x", "one", "two/../three", "bad")
    return paceline.store(
        lambda store: a_run(store, roadmap, "partial", reason="1 of 3 concepts failed")
    ).run_id


def test_an_empty_store_shows_how_to_start(paceline: Terminal) -> None:
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
        assert "3 of 3 concepts, 1 failed, 180 tokens, cost 1.5000" in said
        assert "malformed answer" in said
        assert "tutorial, resources, quiz" in said
        assert "Dead letters:\n  bad: malformed answer" in said
        assert "last answer: ``` " in said
        assert f"paceline resume {partial} --failed-only" in said
    shown = paceline("show", partial, "--json").json
    assert shown["concepts"][2]["last_answer"] == f"``` {HOSTILE}"
    assert [one["status"] for one in shown["concepts"]] == ["completed", "completed", "failed"]
    assert shown["concepts"][0]["steps"] == ["tutorial", "resources", "quiz"]
    assert (shown["prompt_tokens"], shown["completion_tokens"], shown["cost"]) == (60, 120, 1.5)


def test_a_concept_is_shown_as_readable_text(paceline: Terminal, partial: str) -> None:
    said = paceline("show", partial, "two/../three").out
    for part in (
        "# About two/../three",
        "What List<String> means.",
        "### One",
        "- [x] that\n        of two lines",
        "[A \\[page\\]](<https://example.org/>) (article)",
    ):
        assert part in said
    assert said.index("## Tutorial") < said.index("## Resources") < said.index("## Quiz")
    assert "## Quiz" not in paceline("show", partial, "one", "tutorial").out


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
