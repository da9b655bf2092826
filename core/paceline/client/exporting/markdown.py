"""The exporter ``markdown``: one file per concept, and a table of contents."""

from collections.abc import AsyncIterator, Sequence

from paceline.client.render import with_answers
from paceline.contracts.exporter import (
    ExportedArtifact,
    ExportedConcept,
    ExportedRun,
    FolderExporter,
)
from paceline.text import link_text, plain

_INDEX = "index.md"


class MarkdownExporter(FolderExporter):
    """One Markdown file per concept. The table of contents completes the export."""

    def names(self, run: ExportedRun) -> Sequence[str]:
        """The table of contents, then a file for each concept with content."""
        return [_INDEX, *(_file(concept) for concept in run.concepts if concept.steps)]

    async def files(self, run: ExportedRun) -> AsyncIterator[tuple[str, str | bytes]]:
        """Yield the concepts in the order of the roadmap, then the table of contents."""
        contents = [f"# {plain(run.roadmap.title)}"]
        if run.summary:
            contents.append(f"\n{run.summary}")
        heading = ("", "")
        for one in run.concepts:
            stage, module = one.stage, one.module
            if (stage.stage_id, module.module_id) != heading:
                if stage.stage_id != heading[0]:
                    contents.append(f"\n## {plain(stage.name)}")
                contents.append(f"\n### {plain(module.name)}\n")
                heading = stage.stage_id, module.module_id
            entry, found = plain(one.concept.name), list[ExportedArtifact]()
            if one.steps:
                found += await run.artifacts(one)
            remark = link_text("; ".join(filter(None, [one.remark, *(a.remark for a in found)])))
            if one.steps:
                entry = f"[{link_text(one.concept.name)}](<{_file(one)}>)"
                yield _file(one), _text(one, remark, found)
            contents.append(f"- {entry} — {remark}" if remark else f"- {entry}")
        yield _INDEX, "\n".join(contents) + "\n"


def _file(concept: ExportedConcept) -> str:
    return f"{concept.file_name}.md"


def _text(concept: ExportedConcept, remark: str, found: Sequence[ExportedArtifact]) -> str:
    parts = [f"# {plain(concept.concept.name)}"]
    if remark:
        parts.append(f"> {remark[0].upper()}{remark[1:]}")
    parts.append(with_answers((one.content, one.solutions) for one in found))
    return "\n\n".join(parts) + "\n"
