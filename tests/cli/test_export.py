"""`paceline export`."""

import json
import re
from pathlib import Path

import pytest
from paceline.cli.file_names import numbered_name, safe_name

from tests.support.cli_terminal import HOSTILE, Terminal, a_roadmap, a_run

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


def test_an_unfinished_run_exports_what_exists(paceline: Terminal) -> None:
    paceline.store(lambda store: a_run(store, a_roadmap("half", "good", "bad"), "partial"))
    said = paceline("export", "half", "--to", "book")
    assert "1 of 2 concepts are complete" in said.err
    assert "About bad (not generated)" in Path("book/index.md").read_text()
    assert sorted(path.name for path in Path("book").iterdir()) == ["1-good.md", "index.md"]


@pytest.mark.parametrize("text", [*IDS, "", "\x00\x1b", "a" * 10_000, "🙂" * 500, ".hidden", "-x"])
def test_a_safe_file_name_is_short_and_stays_in_its_folder(text: str) -> None:
    name = safe_name(text)
    assert len(name.encode()) <= 120
    assert not name.startswith((".", "-"))
    assert not set(name) & set('/\\:*?"<>|\x00')
    assert numbered_name(7, 120, text).startswith("007")
