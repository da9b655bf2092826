"""The exporter ``html``: a static site that needs neither a server nor scripts."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from paceline import ExportedArtifact, ExportedConcept, ExportedRun, FolderExporter

from paceline_adapters.exporters.material import without_control
from paceline_adapters.markup import to_html

_INDEX = "index.html"


class HtmlExporter(FolderExporter):
    """An index by stage and module, and one page per concept."""

    def __init__(self, *, language: str) -> None:
        self._pages = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._language = language
        self._pages.filters["file"] = _file

    def names(self, run: ExportedRun) -> Sequence[str]:
        """The index, then a page for each concept with content."""
        return [_INDEX, *(_file(concept) for concept in run.concepts if concept.steps)]

    async def files(self, run: ExportedRun) -> AsyncIterator[tuple[str, str | bytes]]:
        """Yield the pages in the order of the roadmap, then the index."""
        page = self._pages.get_template("concept.html")
        written = [concept for concept in run.concepts if concept.steps]
        remarks: dict[str, str] = {}
        for place, one in enumerate(written):
            found = await run.artifacts(one)
            remark = "; ".join(filter(None, [one.remark, *(item.remark for item in found)]))
            remarks[one.concept.concept_id] = remark
            text = page.render(
                language=self._language,
                title=one.concept.name,
                run=run,
                one=one,
                remark=remark,
                parts=[_Part.of(item) for item in found],
                before=written[place - 1] if place else None,
                after=written[place + 1] if place + 1 < len(written) else None,
            )
            yield _file(one), without_control(text)
        index = self._pages.get_template("index.html")
        text = index.render(
            language=self._language,
            title=run.roadmap.title,
            run=run,
            stages=_stages(run),
            remarks=remarks,
        )
        yield _INDEX, without_control(text)


@dataclass(frozen=True, slots=True)
class _Part:
    """The content of one artifact and its solutions, as HTML that is safe to insert."""

    content: Markup
    solutions: Markup

    @classmethod
    def of(cls, item: ExportedArtifact) -> "_Part":
        # The result of `to_html` is cleaned.
        return cls(Markup(to_html(item.content)), Markup(to_html(item.solutions)))  # noqa: S704


def _file(concept: ExportedConcept) -> str:
    return f"{concept.file_name}.html"


def _stages(run: ExportedRun) -> list[tuple[str, list[tuple[str, list[ExportedConcept]]]]]:
    """Stages by name, with their modules by name, with their concepts."""
    return [
        (
            stage[0].stage.name,
            [
                (module[0].module.name, module)
                for _, group in groupby(stage, key=lambda one: one.module.module_id)
                for module in [list(group)]
            ],
        )
        for _, members in groupby(run.concepts, key=lambda one: one.stage.stage_id)
        for stage in [list(members)]
    ]
