"""The exporter ``anki``: flashcards and questions as a package for Anki."""

import itertools
import re
import sqlite3
import warnings
from collections.abc import AsyncIterator
from html import escape
from pathlib import Path
from string import ascii_uppercase
from tempfile import TemporaryDirectory
from typing import Any

import genanki as untyped
from paceline import Card, ExportedConcept, ExportedRun, FileExporter, Question

from paceline_adapters.exporters.material import (
    Item,
    Material,
    block_html,
    choice_html,
    key_of,
    materials,
    nothing_to_write,
    one_line,
)
from paceline_adapters.exporters.packing import package

genanki: Any = untyped  # it has no types

#: Anki recognizes the note type by this number when a package is imported again.
_MODEL_ID = 1_784_302_951
_CSS = """
.card { font-family: sans-serif; font-size: 1.15em; line-height: 1.5; max-width: 40em;
  margin: 0 auto; text-align: start; }
.concept { color: #595959; font-size: 0.8em; }
.nightMode .concept { color: #b4b4b4; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
"""
_FRONT = '<div class="concept" dir="auto">{{Concept}}</div><div dir="auto">{{Front}}</div>'
_BACK = '{{FrontSide}}<hr id="answer"><div dir="auto">{{Back}}</div>'
#: Markup in brackets with which a field plays a sound, speaks or runs LaTeX.
_COMMANDS = re.compile(r"\[(?=sound:|anki:|latex\]|\$)", re.IGNORECASE)


class AnkiExporter(FileExporter):
    """One deck per module. A package that is imported again updates its notes."""

    suffix = ".apkg"
    text = False

    async def pieces(self, run: ExportedRun) -> AsyncIterator[str | bytes]:
        """Yield the package."""
        with TemporaryDirectory(prefix="paceline-anki-") as folder, package() as made:
            file = Path(folder, "collection.anki2")
            database = sqlite3.connect(file)
            try:
                await _Collection(run, database).fill()
                database.commit()
            finally:
                database.close()
            made.add_file(file)
            made.add("media", b"{}")
            for piece in made.pieces():
                yield piece


class _Collection:
    """The database of a package, written deck by deck."""

    def __init__(self, run: ExportedRun, database: sqlite3.Connection) -> None:
        self._run = run
        self._cursor = database.cursor()
        self._names: set[str] = set()
        # The ids of notes and cards are times in Anki. Only their order matters here.
        self._ids = itertools.count(int(run.run.created_at.timestamp() * 1000))
        self._model = genanki.Model(
            _MODEL_ID,
            "paceline",
            fields=[{"name": name} for name in ("Front", "Back", "Concept")],
            templates=[{"name": "Card", "qfmt": _FRONT, "afmt": _BACK}],
            css=_CSS,
        )

    async def fill(self) -> None:
        """Write all decks."""
        genanki.Package([]).write_to_db(self._cursor, 0, self._ids)  # the tables
        waiting: list[Material] = []
        async for material in materials(self._run):
            if waiting and waiting[-1].concept.module is not material.concept.module:
                self._write(waiting)
                waiting = []
            waiting.append(material)
        if not waiting:
            raise nothing_to_write(self._run, "questions or cards")
        self._write(waiting)

    def _write(self, module: list[Material]) -> None:
        """Write the deck of one module."""
        concept = module[0].concept
        key = key_of(self._run.roadmap.roadmap_id, concept.stage.stage_id, concept.module.module_id)
        deck = genanki.Deck(_number(key), self._deck_name(concept))
        for material in module:
            for card in material.cards:
                front, back = block_html(card.item.front), block_html(card.item.back)
                deck.add_note(self._note(card, front, back))
            for question in material.questions:
                deck.add_note(self._note(question, *_sides(question.item)))
        newest = max(filter(None, (material.newest for material in module)), default=None)
        # Anki updates a note only if the package has a later time than its collection.
        time = (newest or self._run.run.created_at).timestamp()
        with warnings.catch_warnings():
            # genanki takes a link's title with a line break for a broken tag.
            warnings.filterwarnings("ignore", module="genanki")
            deck.write_to_db(self._cursor, time, self._ids)

    def _note(self, item: Item[Question] | Item[Card], front: str, back: str) -> Any:
        fields = [front, back, escape(one_line(item.concept.concept.name))]
        kind = "question" if isinstance(item.item, Question) else "card"
        return genanki.Note(
            model=self._model,
            fields=[_COMMANDS.sub("&#91;", field) for field in fields],
            guid=key_of(kind, item.key(self._run)),
            tags=["paceline", kind],
        )

    def _deck_name(self, concept: ExportedConcept) -> str:
        """Names of roadmap, stage and module; Anki makes a tree of decks of them."""
        names = (self._run.roadmap.title, concept.stage.name, concept.module.name)
        name = "::".join(re.sub(":{2,}", ":", one_line(one)).strip(":") or "-" for one in names)
        # Anki would rename a second deck of the same name itself, with a random end.
        free, numbers = name, itertools.count(2)
        while free.casefold() in self._names:
            free = f"{name} ({next(numbers)})"
        self._names.add(free.casefold())
        return free


def _number(key: str) -> int:
    """A deck's id: positive, and below the maximum that JavaScript can hold."""
    return int(key[:12], 16) + 2**32


def _sides(question: Question) -> tuple[str, str]:
    """A question with its choices, and the right choices with the explanation."""
    letters = [ascii_uppercase[place % 26] for place in range(len(question.choices))]

    def listed(places: list[int]) -> str:
        return "".join(
            f"<div><b>{letters[place]}</b> {choice_html(question.choices[place])}</div>"
            for place in places
        )

    front = block_html(question.text) + listed(list(range(len(question.choices))))
    back = listed(sorted(question.right))
    if question.explanation.strip():
        back += block_html(question.explanation)
    return front, back
