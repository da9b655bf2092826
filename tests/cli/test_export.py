"""`paceline export`."""

import json
import re
from pathlib import Path

import pytest
from paceline.client.exporting.names import numbered_name, safe_name
from paceline.contracts.storage.records import ConceptState
from paceline.contracts.storage.store import Store

from tests.support.cli_terminal import HOSTILE, Terminal, a_roadmap, a_run, save

IDS = ("../../etc/passwd", "a/b", "a-b", "A-B", "CON", "..", "机器学习", "x" * 200, "last")


@pytest.fixture
def run_id(paceline: Terminal) -> str:
    """A complete run. Its concepts have ids that are invalid as file names."""
    roadmap = a_roadmap("wild", *IDS)
    return paceline.store(lambda store: a_run(store, roadmap, "completed")).run_id


def test_each_concept_becomes_one_file_within_the_folder(paceline: Terminal, run_id: str) -> None:
    paceline("export", run_id, "--to", "out/book")
    files = sorted(path.name for path in Path("out/book").iterdir())
    assert len(files) == len(IDS) + 1
    assert all(path.parent == Path("out/book") for path in Path().rglob("*.md"))
    assert len({name.lower() for name in files}) == len(files), "also where case is folded"
    assert "7-机器学习.md" in files
    assert "## Quiz" in Path("out/book/7-机器学习.md").read_text()


def test_the_table_of_contents_links_to_every_file(paceline: Terminal, run_id: str) -> None:
    paceline("export", "wild", "--to", "book")
    index = Path("book/index.md").read_text()
    links = re.findall(r"\(<(.+?)>\)", index)
    assert len(links) == len(IDS)
    assert all((Path("book") / link).is_file() for link in links)


def test_nothing_is_replaced_unless_forced(paceline: Terminal, run_id: str) -> None:
    Path("book").mkdir()
    mine = Path("book/3-a-b.md")
    mine.write_text("mine")
    said = paceline("export", run_id, "--to", "book", code=2)
    assert "book/3-a-b.md exists already; --force" in said.err
    assert [path.name for path in Path("book").iterdir()] == ["3-a-b.md"], "and nothing begun"
    paceline("export", run_id, "--to", "book", "--force")
    assert "## Quiz" in mine.read_text()


def test_a_symbolic_link_is_replaced_and_not_followed(paceline: Terminal, run_id: str) -> None:
    Path("precious").write_text("mine")
    Path("book").mkdir()
    Path("book/index.md").symlink_to(Path("precious").resolve())
    paceline("export", run_id, "--to", "book", code=2)
    paceline("export", run_id, "--to", "book", "--force")
    assert Path("precious").read_text() == "mine"


def test_an_unwritable_folder_is_a_one_line_error(paceline: Terminal, run_id: str) -> None:
    Path("file").write_text("")
    assert (
        "file/book: cannot be created"
        in paceline("export", run_id, "--to", "file/book", code=2).err
    )
    assert "--to" in paceline("export", run_id, code=2).err


def test_json_is_one_document_with_everything(paceline: Terminal, run_id: str) -> None:
    document = paceline("export", run_id, "--format", "json").json
    assert document["run"]["run_id"] == run_id
    assert document["roadmap"]["roadmap_id"] == "wild"
    assert [one["concept_id"] for one in document["concepts"]] == list(IDS)
    assert document["concepts"][0]["artifacts"][0]["content"]["title"] == f"Tutorial {HOSTILE}"
    paceline("export", run_id, "--format", "json", "--to", "all.json")
    assert json.loads(Path("all.json").read_text()) == document
    paceline("export", run_id, "--format", "json", "--to", "all.json", code=2)


def test_a_failed_concept_is_listed_with_its_reason(paceline: Terminal) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("half", "good", "bad"), "partial"))
    said = paceline("export", "half", "--to", "book")
    assert "1 of 2 concepts complete, 1 failed" in said.err
    title, _, summary, *_, last = Path("book/index.md").read_text().splitlines()
    assert (title, summary) == ("# Title of half", "1 of 2 concepts complete, 1 failed")
    assert last.startswith("- About bad — failed: malformed answer: ")
    assert last.endswith("\\[bold red\\]not markup\\[/\\]\u202eright to left"), "escaped"
    assert sorted(path.name for path in Path("book").iterdir()) == ["1-good.md", "index.md"]


async def a_mixed_run(store: Store) -> None:
    """A run with a concept in each state, with and without some of its artifacts."""
    names = ("whole", "failed", "failed-late", "open", "begun", "left-out", "left-out-late")
    run, _ = await store.create_run(a_roadmap("mixed", *names), executor="in-process")
    claim = await store.claim(run.run_id, "a-worker", lease=30)
    assert claim is not None
    await save(store, claim, "whole", "tutorial", "resources", "quiz")
    for name in ("failed-late", "begun", "left-out-late"):
        await save(store, claim, name, "tutorial", complete=False)
    reason = "a <b>\n reason [x](https://example.org/)"
    for name in ("failed", "failed-late"):
        await store.save_concept(
            claim, ConceptState(concept_id=name, status="failed", reason=reason)
        )
    for name in ("left-out", "left-out-late"):
        await store.save_concept(claim, ConceptState(concept_id=name, status="skipped"))


REASON = "a &lt;b> reason \\[x\\](https://example.org/)"


def test_the_index_says_what_is_missing_of_every_concept_and_why(paceline: Terminal) -> None:
    paceline.store(a_mixed_run)
    said = paceline("export", "mixed", "--to", "book")
    summary = "1 of 7 concepts complete, 2 failed, 2 skipped, 1 incomplete, 1 not generated"
    assert summary in said.err
    index = Path("book/index.md").read_text()
    assert index.splitlines()[2] == summary
    assert re.findall("^- .*", index, re.MULTILINE) == [
        "- [About whole](<1-whole.md>)",
        f"- About failed — failed: {REASON}",
        "- [About failed-late](<3-failed-late.md>) — failed (missing: resources, quiz): " + REASON,
        "- About open — not generated yet",
        "- [About begun](<5-begun.md>) — incomplete (missing: resources, quiz)",
        "- About left-out — skipped",
        "- [About left-out-late](<7-left-out-late.md>) — skipped (missing: resources, quiz)",
    ]


def test_the_file_of_an_incomplete_concept_says_what_is_missing(paceline: Terminal) -> None:
    paceline.store(a_mixed_run)
    paceline("export", "mixed", "--to", "book")
    for file, remark in {
        "3-failed-late.md": f"Failed (missing: resources, quiz): {REASON}",
        "5-begun.md": "Incomplete (missing: resources, quiz)",
        "7-left-out-late.md": "Skipped (missing: resources, quiz)",
    }.items():
        title, _, second, *_ = Path("book", file).read_text().splitlines()
        assert title.startswith("# About ")
        assert second == f"> {remark}"
    assert "missing" not in Path("book/1-whole.md").read_text()


def test_the_export_of_a_complete_run_has_no_remarks(paceline: Terminal, run_id: str) -> None:
    assert paceline("export", run_id, "--to", "book").err == ""
    index = Path("book/index.md").read_text()
    assert "complete" not in index
    assert "—" not in index


def test_json_has_status_reason_and_missing_steps_of_every_concept(paceline: Terminal) -> None:
    paceline.store(a_mixed_run)
    concepts = paceline("export", "mixed", "--format", "json").json["concepts"]
    every, begun = ["tutorial", "resources", "quiz"], ["tutorial"]
    rest = ["resources", "quiz"]
    assert [(one["status"], one["steps"], one["missing_steps"]) for one in concepts] == [
        ("completed", every, []),
        ("failed", [], every),
        ("failed", begun, rest),
        ("pending", [], every),
        ("pending", begun, rest),
        ("skipped", [], every),
        ("skipped", begun, rest),
    ]
    assert [one["reason"] is not None for one in concepts] == [
        one["status"] == "failed" for one in concepts
    ]


def test_a_completed_concept_lacks_no_step_that_was_added_to_the_settings_later(
    paceline: Terminal,
) -> None:
    async def with_quiz_only(store: Store) -> None:
        run, _ = await store.create_run(a_roadmap("r", "c"), executor="in-process")
        claim = await store.claim(run.run_id, "a-worker", lease=30)
        assert claim is not None
        await save(store, claim, "c", "quiz")

    paceline.store(with_quiz_only)
    [concept] = paceline("export", "r", "--format", "json").json["concepts"]
    assert (concept["steps"], concept["missing_steps"]) == (["quiz"], [])
    assert paceline("export", "r", "--to", "book").err == ""


def test_quizzes_are_exported_with_their_answers_at_the_end_of_the_file(
    paceline: Terminal,
) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("r", "c"), "completed"))
    paceline("export", "r", "--to", "book", "--set", 'run.steps=["quiz","resources","tutorial"]')
    text = Path("book/1-c.md").read_text()
    quiz, answers = text.split("## Answers")
    assert (
        "### Question 1 (easy)\n\nWhich?\n\n- (A) this\n- (B) that\n        of two lines\n" in quiz
    )
    assert "Because" not in quiz
    assert "[x]" not in text
    assert quiz.index("## Quiz") < quiz.index("## Resources") < quiz.index("## Tutorial")
    assert answers == (
        "\n\n### Question 1\n\n- (B) that\n        of two lines\n\n*Why:* Because.\n"
    )


@pytest.mark.parametrize("text", [*IDS, "", "\x00\x1b", "a" * 10_000, "🙂" * 500, ".hidden", "-x"])
def test_a_safe_file_name_is_short_and_stays_in_its_folder(text: str) -> None:
    name = safe_name(text)
    assert len(name.encode()) <= 120
    assert not name.startswith((".", "-"))
    assert not set(name) & set('/\\:*?"<>|\x00')
    assert numbered_name(7, 120, text).startswith("007")
