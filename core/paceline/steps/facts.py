"""The facts about a concept that a prompt contains, one per line."""

import json
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel

from paceline.contracts.steps.step import Subject

#: Maximum number of prerequisites, keywords and section titles: prompts are paid by length.
SHOWN = 50

#: Names that a template may use as ``$name``.
PLACEHOLDERS = (
    "roadmap",
    "roadmap_id",
    "stage",
    "module",
    "concept",
    "concept_id",
    "description",
    "difficulty",
    "hours",
    "prerequisites",
    "keywords",
    "tutorial_summary",
    "tutorial_sections",
    "language",
    "step",
    "context",
)


def placeholders(subject: Subject, step: str) -> dict[str, str]:
    """Values of ``PLACEHOLDERS``; empty if the roadmap has none."""
    concept = subject.concept
    hours = concept.estimated_hours
    summary, sections = _outline(subject.earlier)
    values = (
        _line(subject.roadmap_title),
        subject.roadmap_id,
        _line(subject.stage),
        _line(subject.module),
        _line(concept.name),
        concept.concept_id,
        _line(concept.description),
        _line(concept.difficulty),
        "" if hours is None else f"{hours:g}",
        _listed(subject.prerequisites),
        _listed(concept.keywords),
        summary,
        sections,
        language_rule(subject.language),
        step,
        json.dumps(dict(subject.context), ensure_ascii=False) if subject.context else "",
    )
    return dict(zip(PLACEHOLDERS, values, strict=True))


def facts(values: Mapping[str, str]) -> str:
    """The user's message: one ``Name: value`` line per known fact.

    It contains the ids, so that two concepts with the same name never share a prompt.
    """
    lines = [
        ("Roadmap", values["roadmap"]),
        ("Stage", values["stage"]),
        ("Module", values["module"]),
        ("Concept", values["concept"]),
        ("Description", values["description"]),
        ("Difficulty", values["difficulty"]),
        ("Estimated hours", values["hours"]),
        ("Prerequisites the learner knows", values["prerequisites"]),
        ("Keywords", values["keywords"]),
        ("Summary of the tutorial", values["tutorial_summary"]),
        ("Sections of the tutorial", values["tutorial_sections"]),
        ("Context", values["context"]),
        ("Roadmap id", values["roadmap_id"]),
        ("Concept id", values["concept_id"]),
        ("Step", values["step"]),
    ]
    known = [f"{name}: {value}" for name, value in lines if value]
    return "\n".join([*known, "", values["language"]])


def language_rule(language: str) -> str:
    """The sentence that sets the language; ``auto`` means the roadmap's own."""
    if language == "auto":
        return "Write in the language of the roadmap's own texts."
    return f"Write in this language: {_line(language)}."


def _outline(earlier: Mapping[str, BaseModel]) -> tuple[str, str]:
    # Read by field name: a plugin may replace the tutorial and keep its shape.
    tutorial = earlier.get("tutorial")
    summary: object = getattr(tutorial, "summary", "")
    sections: object = getattr(tutorial, "sections", ())
    titles = [
        str(getattr(section, "title", "")) for section in _items(sections) if section is not None
    ]
    return _line(summary) if isinstance(summary, str) else "", _listed(titles)


def _items(value: object) -> Iterable[object]:
    return iter(value) if isinstance(value, list | tuple) else ()  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _line(text: str) -> str:
    """The text on one line, so that a name cannot imitate another fact."""
    return " ".join(text.split())


def _listed(names: Sequence[str]) -> str:
    shown = [_line(name) for name in names[:SHOWN]]
    if len(names) > SHOWN:
        shown.append(f"and {len(names) - SHOWN} more")
    return "; ".join(name for name in shown if name)
