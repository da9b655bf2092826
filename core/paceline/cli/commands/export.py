"""``paceline export``."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from paceline.app import App
from paceline.client.terminal.app_options import run_async, store_options
from paceline.client.terminal.output import json_text, note
from paceline.contracts.records import ENDED, Run
from paceline.contracts.store import Store
from paceline.errors import UsageError
from paceline.text import count

if TYPE_CHECKING:
    from paceline.client.render import Reader

Format = Literal["markdown", "json"]


@click.command()
@click.argument("run")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Folder for Markdown, or file for JSON instead of stdout.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "json"]),
    default="markdown",
    show_default=True,
    help="One Markdown file per concept, or one JSON document.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@store_options
def export(*, run: str, app: App, to: Path | None, form: Format, force: bool) -> int:
    """Write the generated content of a RUN to files.

    RUN is a run id, or a roadmap id for its newest run. For an unfinished run, the command
    exports the content that exists.

    \b
    Examples:
      paceline export learn-rust --to book
      paceline export learn-rust --format json > learn-rust.json
    """
    from paceline.cli.runs import find_run
    from paceline.client.render import Reader

    if to is None and form == "markdown":
        raise UsageError(
            "--to is missing: name the folder for the Markdown files, for example --to book"
        )

    async def write() -> None:
        async with app.factory.open_store() as store:
            found = await find_run(store, run)
            reader = Reader(app.factory)
            if found.status not in ENDED or found.completed < found.total:
                note(f"{found.completed} of {found.total} concepts are complete")
            if form == "markdown" and to is not None:
                await _write_markdown(store, found, reader, to, force=force)
            else:
                await _write_json(store, found, reader, to, force=force)

    run_async(write())
    return 0


async def _write_markdown(
    store: Store, run: Run, reader: "Reader", folder: Path, *, force: bool
) -> None:
    """Write a file per concept, then the table of contents, which completes the export."""
    from paceline.cli.file_names import make_folder, numbered_name, refuse_existing, write_file
    from paceline.text import link_text, plain

    roadmap = await store.roadmap(run.run_id)
    existing = await store.artifact_steps(run.run_id)
    contents = [f"# {plain(roadmap.title)}"]
    files: dict[str, str] = {}
    for number, (_, _, concept) in enumerate(roadmap.concepts(), 1):
        if concept.concept_id in existing:
            name = numbered_name(number, run.total, concept.concept_id)
            files[concept.concept_id] = f"{name}.md"
    index = folder / "index.md"
    make_folder(folder)
    if not force:
        refuse_existing([index, *(folder / name for name in files.values())])
    heading = ("", "")
    for stage, module, concept in roadmap.concepts():
        if (stage.stage_id, module.module_id) != heading:
            if stage.stage_id != heading[0]:
                contents.append(f"\n## {plain(stage.name)}")
            contents.append(f"\n### {plain(module.name)}\n")
            heading = stage.stage_id, module.module_id
        file = files.get(concept.concept_id)
        if file is None:
            contents.append(f"- {plain(concept.name)} (not generated)")
            continue
        contents.append(f"- [{link_text(concept.name)}](<{file}>)")
        found = await store.artifacts(run.run_id, concept_id=concept.concept_id)
        parts = [f"# {plain(concept.name)}", *map(reader.markdown, reader.ordered(found))]
        write_file(folder / file, "\n\n".join(parts) + "\n", replace=force)
    write_file(index, "\n".join(contents) + "\n", replace=force)
    click.echo(f"{count(len(files), 'concept')} written to {index}")


async def _write_json(
    store: Store, run: Run, reader: "Reader", to: Path | None, *, force: bool
) -> None:
    from paceline.cli.file_names import refuse_existing, write_file

    if to is None or str(to) == "-":
        async for part in _json_parts(store, run, reader):
            sys.stdout.write(part)
        sys.stdout.write("\n")
        return
    if not force:
        refuse_existing([to])
    parts = [part async for part in _json_parts(store, run, reader)]
    write_file(to, "".join(parts) + "\n", replace=force)
    click.echo(f"{run.completed} of {count(run.total, 'concept')} written to {to}")


async def _json_parts(store: Store, run: Run, reader: "Reader") -> AsyncIterator[str]:
    """Yield the document in pieces, so that a large run is not twice in memory."""
    from paceline.client.cluster_status import run_to_json
    from paceline.client.render import artifact_to_json, concept_to_json

    roadmap = await store.roadmap(run.run_id)
    names = {concept.concept_id: concept.name for _, _, concept in roadmap.concepts()}
    yield f'{{"run": {json_text(run_to_json(run))},\n"roadmap": '
    yield json_text(roadmap.model_dump(mode="json"))
    yield ',\n"concepts": ['
    between = "\n"
    for state in await store.concepts(run.run_id):
        found = reader.ordered(await store.artifacts(run.run_id, concept_id=state.concept_id))
        described = concept_to_json(state, names, [one.step for one in found])
        yield between
        yield json_text({**described, "artifacts": [artifact_to_json(one) for one in found]})
        between = ",\n"
    yield "\n]}"
