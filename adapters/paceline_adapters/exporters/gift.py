"""The exporter ``gift``: questions in Moodle's text format."""

import re
from collections.abc import AsyncIterator

from paceline import ExportedConcept, ExportedRun, FileExporter, Question

from paceline_adapters.exporters.material import (
    Item,
    block_html,
    choice_html,
    materials,
    nothing_to_write,
    one_line,
)

#: Maximum length of the name of a question or category in Moodle's database.
_MAX_NAME = 255
_SPECIAL = re.compile(r"[\\~=#{}:]")
_PREFORMATTED = re.compile(r"(<pre>.*?</pre>)", re.DOTALL)


class GiftExporter(FileExporter):
    """All questions in one file, with a category for each module. Texts are HTML."""

    suffix = ".gift"

    async def pieces(self, run: ExportedRun) -> AsyncIterator[str | bytes]:
        """Yield the questions of one concept after the other."""
        category = ""
        async for material in materials(run):
            if not material.questions:
                continue
            of_concept = _category(run, material.concept)
            if of_concept != category:
                category = of_concept
                yield f"$CATEGORY: {category}\n\n"
            for item in material.questions:
                yield f"{_question(item)}\n\n"
        if not category:
            raise nothing_to_write(run, "questions")


def _category(run: ExportedRun, concept: ExportedConcept) -> str:
    names = (run.roadmap.title, concept.stage.name, concept.module.name)
    # In a category, `/` separates the levels, and only the backslash is special besides.
    parts = [one_line(name)[:_MAX_NAME].replace("/", "//").replace("\\", "\\\\") for name in names]
    return "/".join(["$course$", "top", *parts])


def _question(item: Item[Question]) -> str:
    question = item.item
    name = f"{one_line(item.concept.concept.name)[: _MAX_NAME - 4]} {item.number}"
    wrong = len(question.choices) - len(question.right)
    lines = [f"::{_escaped(name)}::[html]{_text(block_html(question.text))}{{"]
    for place, choice in enumerate(question.choices):
        right = place in question.right
        lines.append(f"\t{_mark(right, len(question.right), wrong)}{_choice(choice)}")
    if question.explanation.strip():
        lines.append(f"\t####{_text(block_html(question.explanation))}")
    return "\n".join([*lines, "}"])


def _mark(right: bool, rights: int, wrongs: int) -> str:
    """The beginning of a choice: right or wrong, or its share of the grade if several are right."""
    if rights == 1:
        return "=" if right else "~"
    return f"~%{_share(rights)}%" if right else f"~%-{_share(wrongs)}%"


def _share(of: int) -> str:
    # Moodle compares shares with a list that has five decimals.
    return f"{100 / of:.5f}".rstrip("0").rstrip(".")


def _choice(choice: str) -> str:
    """A choice that cannot be taken for a share of the grade or the name of a text format."""
    html = choice_html(choice)
    if html[0] in "%[":
        html = f"&#{ord(html[0])};{html[1:]}"
    return _text(html)


def _text(html: str) -> str:
    """HTML on one line: a blank line would end the question."""
    parts = _PREFORMATTED.split(html)
    for place, part in enumerate(parts):
        if place % 2:
            parts[place] = part.replace("\n</code>", "</code>").replace("\n", "<br>")
        else:
            parts[place] = " ".join(part.split("\n"))
    return _escaped("".join(parts).replace("\r", " "))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", text)
