"""The exporter `anki`, imported with Anki's own library."""

import importlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from paceline import UsageError
from paceline.testing.virtual_time import virtual_time

from tests.support.exported_runs import (
    CODE,
    FORMULA,
    HOSTILE,
    IDS,
    QUESTIONS,
    SAVED,
    exported,
    exporter,
    file_of,
    question,
    roadmap,
)

CARDS = {"sides": [(HOSTILE, "back"), (CODE, FORMULA)]}


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Any]:
    """An empty collection of Anki."""
    found = library().Collection(str(tmp_path / "collection.anki2"))
    yield found
    found.close()


def library() -> Any:
    """Anki's library, imported late: it takes longer than all these tests."""
    return importlib.import_module("anki.collection")


def imported(collection: Any, folder: Path, package: bytes) -> tuple[int, int, int]:
    """Numbers of new, updated and unchanged notes after an import."""
    file = folder / "package.apkg"
    file.write_bytes(package)
    anki = library()
    options = anki.ImportAnkiPackageOptions()
    request = anki.ImportAnkiPackageRequest(package_path=str(file), options=options)
    log = collection.import_anki_package(request).log
    assert not log.conflicting
    assert not log.missing_notetype
    return len(log.new), len(log.updated), len(log.duplicate)


async def package(content: dict[str, Any], **of: Any) -> bytes:
    return await file_of(exporter("anki"), await exported(content, **of))


def notes(collection: Any, search: str = "") -> list[Any]:
    return [collection.get_note(one) for one in sorted(collection.find_notes(search))]


@virtual_time
async def test_anki_imports_questions_and_cards_as_notes_with_one_card_each(
    collection: Any, tmp_path: Path
) -> None:
    content = {"quiz": {"questions": QUESTIONS}, "cards": CARDS}
    number = len(IDS) * (len(QUESTIONS) + 2)
    assert imported(collection, tmp_path, await package(content)) == (number, 0, 0)
    assert len(notes(collection, "tag:question")) == len(IDS) * len(QUESTIONS)
    assert len(notes(collection, "tag:card")) == len(IDS) * 2
    assert all(len(note.cards()) == 1 for note in notes(collection))
    first, *_ = notes(collection, "tag:question")
    assert first.note_type()["name"] == "paceline"
    assert "<b>A</b>" in first["Front"]
    assert "Because:" not in first["Front"]
    assert "Because:" in first["Back"]


@virtual_time
async def test_hostile_text_is_shown_and_runs_nothing(collection: Any, tmp_path: Path) -> None:
    imported(collection, tmp_path, await package({"cards": CARDS}))
    first, *_ = notes(collection)
    [card] = first.cards()
    assert card.question_av_tags() == []
    shown = card.question()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script" not in shown
    assert "{{c1::x}}" in shown
    assert "&#91;sound:a.mp3]" in shown


@virtual_time
async def test_a_second_import_changes_nothing_and_a_regenerated_run_updates_its_notes(
    collection: Any, tmp_path: Path
) -> None:
    before = {"quiz": {"questions": [question("Before?"), question("Stays?")]}}
    after = {"quiz": {"questions": [question("After?"), question("Stays?")]}}
    assert imported(collection, tmp_path, await package(before)) == (2 * len(IDS), 0, 0)
    assert imported(collection, tmp_path, await package(before)) == (0, 0, 2 * len(IDS))
    [card, *_] = notes(collection, "Before?")[0].cards()
    new = await package(after, at=SAVED + timedelta(seconds=1))
    assert imported(collection, tmp_path, new)[0] == 0
    assert notes(collection, "Before?") == []
    assert len(notes(collection, "After?")) == len(IDS)
    assert collection.get_card(card.id).note()["Front"].startswith("<p>After?</p>")


@virtual_time
async def test_another_roadmap_with_the_same_concepts_has_notes_of_its_own(
    collection: Any, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        content = await package({"cards": CARDS}, of=roadmap(name))
        assert imported(collection, tmp_path, content)[0] == 2 * len(IDS)


@virtual_time
async def test_each_module_is_a_deck_below_its_stage_and_roadmap(
    collection: Any, tmp_path: Path
) -> None:
    of = roadmap(title="All::of it", name="Same")
    imported(collection, tmp_path, await package({"cards": CARDS}, of=of))
    names = {one.name for one in collection.decks.all_names_and_ids()}
    assert names == {
        "Default",
        "All:of it",
        "All:of it::Same",
        "All:of it::Same::Same",
        "All:of it::Same::Same (2)",
        "All:of it::Same::Same (3)",
    }


@virtual_time
async def test_a_run_without_questions_and_cards_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"has no questions or cards: .* steps note, and none"):
        await package({"note": {"text": "x"}})
