"""The files that ``paceline export RUN`` writes."""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from paceline.cli.file_names import make_folder, numbered_name, refuse_existing, write_file
from paceline.cli.runs import find_run
from paceline.client.cluster_status import run_with_context
from paceline.client.coverage import Coverage, summary
from paceline.client.render import (
    Reader,
    artifact_to_json,
    concept_to_json,
    fallback_words,
    steps_of,
)
from paceline.client.terminal.output import json_text
from paceline.contracts.records import Artifact, Run
from paceline.contracts.store import Store
from paceline.roadmaps.model import Concept, Roadmap
from paceline.runtime.part_factory import PartFactory
from paceline.text import count, link_text, plain


async def read_export(store: Store, factory: PartFactory, name: str, *, replace: bool) -> "Export":
    """Read what exists of a run; ``replace`` is whether existing files may be replaced.

    Raises:
        RunNotFound: the run does not exist.
    """
    run = await find_run(store, name)
    # First the states: the artifacts of a completed concept exist before its state changes.
    states = await store.concepts(run.run_id)
    existing = await store.artifact_steps(run.run_id)
    steps = steps_of(factory.settings, run)
    concepts = {
        state.concept_id: Coverage.of(steps, state, existing.get(state.concept_id, ()))
        for state in states
    }
    roadmap = await store.roadmap(run.run_id)
    return Export(
        store, run, roadmap, Reader(factory), concepts, summary(concepts.values()), replace
    )


@dataclass(frozen=True, slots=True)
class Export:
    """What exists of a run at one moment. What workers save later is left out.

    Attributes:
        store: the open store.
        run: the run.
        roadmap: its roadmap.
        reader: renders artifacts.
        concepts: what exists of each concept, by id and in the roadmap's order.
        summary: how many concepts are missing; empty if none is.
        replace: whether existing files may be replaced.
    """

    store: Store
    run: Run
    roadmap: Roadmap
    reader: Reader
    concepts: Mapping[str, Coverage]
    summary: str
    replace: bool

    async def write_markdown(self, folder: Path) -> None:
        """Write a file per concept, then the table of contents, which completes the export.

        Raises:
            UsageError: a file exists or cannot be written.
        """
        files: dict[str, str] = {}
        for number, (concept_id, coverage) in enumerate(self.concepts.items(), 1):
            if coverage.existing:
                name = numbered_name(number, len(self.concepts), concept_id)
                files[concept_id] = f"{name}.md"
        index = folder / "index.md"
        make_folder(folder)
        if not self.replace:
            refuse_existing([index, *(folder / name for name in files.values())])
        contents = [f"# {plain(self.roadmap.title)}"]
        if self.summary:
            contents.append(f"\n{self.summary}")
        heading = ("", "")
        for stage, module, concept in self.roadmap.concepts():
            if concept.concept_id not in self.concepts:
                continue  # outside of the run's scope
            if (stage.stage_id, module.module_id) != heading:
                if stage.stage_id != heading[0]:
                    contents.append(f"\n## {plain(stage.name)}")
                contents.append(f"\n### {plain(module.name)}\n")
                heading = stage.stage_id, module.module_id
            entry, file = plain(concept.name), files.get(concept.concept_id)
            remarks = [self.concepts[concept.concept_id].remark]
            found: Sequence[Artifact] = ()
            if file is not None:
                found = await self._artifacts(concept.concept_id)
            remarks += [fallback_words(one) for one in found]
            remark = link_text("; ".join(filter(None, remarks)))
            if file is not None:
                entry = f"[{link_text(concept.name)}](<{file}>)"
                text = self._concept_file(concept, remark, found)
                write_file(folder / file, text, replace=self.replace)
            contents.append(f"- {entry} — {remark}" if remark else f"- {entry}")
        write_file(index, "\n".join(contents) + "\n", replace=self.replace)
        click.echo(f"{count(len(files), 'concept')} written to {index}")

    def _concept_file(self, concept: Concept, remark: str, found: Sequence[Artifact]) -> str:
        parts = [f"# {plain(concept.name)}"]
        if remark:
            parts.append(f"> {remark[0].upper()}{remark[1:]}")
        parts.append(self.reader.markdown(found))
        return "\n\n".join(parts) + "\n"

    async def write_json(self, to: Path | None) -> None:
        """Write one document to a file, or to stdout if ``to`` is ``None`` or ``-``.

        Raises:
            UsageError: the file exists or cannot be written.
        """
        if to is None or str(to) == "-":
            async for part in self._json_parts():
                sys.stdout.write(part)
            sys.stdout.write("\n")
            return
        if not self.replace:
            refuse_existing([to])
        parts = [part async for part in self._json_parts()]
        write_file(to, "".join(parts) + "\n", replace=self.replace)
        click.echo(f"{self.run.completed} of {count(self.run.total, 'concept')} written to {to}")

    async def _json_parts(self) -> AsyncIterator[str]:
        """Yield the document in pieces, so that a large run is not twice in memory."""
        names = {concept.concept_id: concept.name for _, _, concept in self.roadmap.concepts()}
        yield f'{{"run": {json_text(run_with_context(self.run))},\n"roadmap": '
        yield json_text(self.roadmap.model_dump(mode="json"))
        yield ',\n"concepts": ['
        currency = self.reader.factory.settings.provider.currency
        between = "\n"
        for concept_id, coverage in self.concepts.items():
            found = await self._artifacts(concept_id)
            described = {
                **concept_to_json(coverage.state, names, [one.step for one in found]),
                "missing_steps": coverage.missing,
                "artifacts": [artifact_to_json(one, currency) for one in found],
            }
            yield between
            yield json_text(described)
            between = ",\n"
        yield "\n]}"

    async def _artifacts(self, concept_id: str) -> Sequence[Artifact]:
        found = await self.store.artifacts(self.run.run_id, concept_id=concept_id)
        existing = self.concepts[concept_id].existing
        return self.reader.ordered([one for one in found if one.step in existing])
