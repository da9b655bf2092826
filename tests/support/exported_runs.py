"""Runs with texts that are hard to export, as exporters receive them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from paceline import (
    App,
    Artifact,
    Card,
    ConceptState,
    ExportedArtifact,
    ExportedConcept,
    ExportedRun,
    Exporter,
    FileExporter,
    FolderExporter,
    Roadmap,
    Settings,
    Step,
    parse_roadmap,
)
from paceline.client.exporting.content import read_run
from paceline.runtime.part_factory import PartFactory
from paceline_adapters.memory.store import MemoryStore
from pydantic import BaseModel

from tests.support.step_plugins import OwnSteps

#: When the artifacts of a run were saved.
SAVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
#: Text in which each character has a meaning in one of the formats.
HOSTILE = (
    "<script>alert(1)</script> [x](javascript:alert(1)) ~ = # { } : \\ :: -> %50% {{c1::x}} "
    "[sound:a.mp3] [latex]x[/latex] & &amp; \"quoted\" 'quoted' ]]> // $CATEGORY: x \x1f\x0b"
)
CODE = "Which line fails?\n\n```python\nx = {1: '~'}\n\n# comment\nprint(x[1] == 2)\n```\n"
RIGHT_TO_LEFT = "ما هي المتغيرات؟"
FORMULA = "Solve $x^2 = 4$ and \\(y\\)."
LONG = "x" * 500
IDS = ("../../etc/passwd", "a.b", "机器学习", "y" * 200, "plain")


def question(text: str, *, options: Sequence[str] = ("yes", "no"), right: Any = 0) -> Any:
    """A question of the built-in quiz, as a model answers it."""
    return {
        "question": text,
        "options": list(options),
        "answer": right,
        "explanation": f"Because: {text}",
        "difficulty": "easy",
    }


#: Questions with all that is hard; of one kind each.
QUESTIONS: Sequence[Any] = (
    question(HOSTILE, options=[HOSTILE, f"other {HOSTILE}", "# no heading", "- no list"]),
    question(CODE, options=["`x[1]`", "```\na\n\nb\n```", "neither\nof these"], right=[1]),
    question(RIGHT_TO_LEFT, options=[RIGHT_TO_LEFT, "לא"], right=1),
    question(FORMULA, options=["2", "-2", "4", "$x$"], right=[0, 1]),
    question("All of these?", options=["a", "b", "c"], right=[0, 1, 2]),
    question("How many?", options=["%50% of all", "[html] none", "=all"], right=2),
)


def roadmap(roadmap_id: str = "wild/road:map", *, title: str = HOSTILE, name: str = "") -> Roadmap:
    """A roadmap in two stages with names that are hard to write; ``name`` replaces them."""
    concepts = [{"concept_id": one, "name": name or f"{HOSTILE} {one}"[:500]} for one in IDS]
    return parse_roadmap(
        {
            "roadmap_id": roadmap_id,
            "title": (title or "Title")[:500],
            "stages": [
                {
                    "stage_id": "first",
                    "name": name or "One\nof :: two/three",
                    "modules": [
                        {"module_id": "m", "name": name or LONG, "concepts": concepts[:2]},
                        {"module_id": "n", "name": name or LONG, "concepts": concepts[2:3]},
                    ],
                },
                {
                    "stage_id": "second",
                    "name": name or RIGHT_TO_LEFT,
                    "modules": [
                        {"module_id": "o", "name": name or "$CATEGORY: x", "concepts": concepts[3:]}
                    ],
                },
            ],
        },
        source="test",
    )


class CardsAnswer(BaseModel):
    """Sides of flashcards."""

    sides: list[tuple[str, str]]


class Cards(Step):
    """A step of a plugin, with flashcards."""

    answer = CardsAnswer

    def prompt(self, subject: object) -> Any:
        raise NotImplementedError

    def cards(self, answer: BaseModel) -> Sequence[Card]:
        assert isinstance(answer, CardsAnswer)
        return [Card(front=front, back=back) for front, back in answer.sides]


def factory(**settings: Any) -> PartFactory:
    """Makes parts; it knows the step ``cards``."""
    own = OwnSteps({"cards": Cards})
    return App(Settings.model_validate(settings), plugins=[own]).factory


def exporter(name: str, **settings: Any) -> Exporter:
    """An exporter by name."""
    return factory(**settings).exporter(name)


class _Saved(ExportedRun):
    """A run with another time of saving."""

    def __init__(self, run: ExportedRun, at: datetime) -> None:
        self.run = replace(run.run, created_at=SAVED)
        self.roadmap, self.summary, self.concepts = run.roadmap, run.summary, run.concepts
        self._run, self._at = run, at

    async def artifacts(self, concept: ExportedConcept) -> Sequence[ExportedArtifact]:
        found = await self._run.artifacts(concept)
        return [replace(one, artifact=replace(one.artifact, created_at=self._at)) for one in found]


async def exported(
    content: Mapping[str, Any],
    *,
    of: Roadmap | None = None,
    concepts: Sequence[str] = IDS,
    at: datetime = SAVED,
) -> ExportedRun:
    """A run with these answers, by step, for each of the concepts; the others are open.

    ``at`` is when the artifacts were saved.
    """
    store = MemoryStore()
    await store.open(create=True)
    run, _ = await store.create_run(of or roadmap(), executor="in-process")
    claim = await store.claim(run.run_id, "a-worker", lease=30)
    assert claim is not None
    for concept in concepts:
        for place, (step, answer) in enumerate(content.items(), 1):
            artifact = Artifact(
                concept_id=concept,
                step=step,
                content=json.dumps(answer),
                model="m",
                prompt_tokens=1,
                completion_tokens=1,
                cost=None,
                seconds=1.0,
                attempts=1,
            )
            last = place == len(content)
            done = ConceptState(concept_id=concept, status="completed") if last else None
            await store.save(claim, artifact, concept=done)
    return _Saved(await read_run(store, factory(), await store.run(run.run_id)), at)


async def file_of(exporter: Exporter, run: ExportedRun) -> bytes:
    """The file that an exporter writes."""
    assert isinstance(exporter, FileExporter)
    pieces = [piece async for piece in exporter.pieces(run)]
    return b"".join(piece if isinstance(piece, bytes) else piece.encode() for piece in pieces)


async def folder_of(exporter: Exporter, run: ExportedRun) -> Mapping[str, str]:
    """The files that an exporter writes into a folder."""
    assert isinstance(exporter, FolderExporter)
    return {name: str(text) async for name, text in exporter.files(run)}
