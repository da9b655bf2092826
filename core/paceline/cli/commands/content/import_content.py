"""``paceline import``."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from paceline.app import App
from paceline.cli.request_options import request_options
from paceline.cli.share_options import share_options
from paceline.client.content.importing import MAX_LINE
from paceline.client.render import run_brief
from paceline.client.run_request import NOTHING_SPECIAL, RunRequest
from paceline.client.terminal.app_options import json_option, run_async, store_options
from paceline.client.terminal.output import echo_json, note, terminal_safe
from paceline.contracts.share import Share
from paceline.contracts.storage.records import Run
from paceline.errors import UsageError
from paceline.text import count

#: A file as its name and its lines.
Source = tuple[str, Iterable[bytes]]


@click.command("import")
@click.argument("target", metavar="RUN|ROADMAP")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--new", is_flag=True, help="Start a new run even if the roadmap already has one.")
@click.option("--dry-run", is_flag=True, help="Check the files, and store nothing.")
@request_options
@share_options
@store_options
@json_option
def import_content(
    *,
    target: str,
    files: tuple[Path, ...],
    app: App,
    new: bool,
    dry_run: bool,
    share: Share,
    request: RunRequest,
    as_json: bool,
) -> int:
    """Add content of FILEs to a run, or start a run of a roadmap with it.

    The first argument is a roadmap file, a run id, or a roadmap id for its newest run. Each line
    of a FILE (or of stdin, as -) is a JSON object:

    \b
      {"concept_id": "ownership", "step": "tutorial", "content": {...}}

    "content" is what the step makes, as `paceline export --format json` shows it. Optional are
    "model", "instruction" and "requested_by". If any line is not valid, all faults are listed
    and nothing is stored. An artifact that exists gets a new version.

    A run that lacks something is paused: `paceline resume` makes the rest.

    \b
    Examples:
      paceline import roadmap.json old-content.jsonl
      paceline import learn-rust better-tutorials.jsonl --dry-run
    """
    from paceline.cli.runs import find_run
    from paceline.roadmaps.model import load_roadmap

    path = Path(target)
    roadmap = load_roadmap(path) if path.suffix and path.is_file() else None
    if roadmap is None and (new or request != NOTHING_SPECIAL):
        raise UsageError(
            f"--new and the options of a new run need a roadmap file, and {target!r} is not a file"
        )

    async def store(sources: list[Source]) -> tuple[Run | None, int]:
        if roadmap is None:
            async with app.client(create=False) as client:
                run = await find_run(client.store, target)
                return await client.import_into(run.run_id, sources, dry_run=dry_run)
        async with app.client() as client:
            return await client.import_roadmap(
                roadmap, request, sources, share=share, new=new, dry_run=dry_run
            )

    with ExitStack() as stack:
        run, number = run_async(store([_source(stack, path) for path in files]))
    if as_json:
        echo_json({"run": None if run is None else run_brief(run), "artifacts": number})
        return 0
    artifacts = count(number, "artifact")
    if dry_run:
        note(f"{artifacts} can be imported")
        return 0
    if run is not None:
        line = f"{run.run_id}  {run.status}  {artifacts} imported  {run.roadmap_id}"
        click.echo(terminal_safe(line))
        if run.status != "completed":
            note(
                f"{run.completed} of {count(run.total, 'concept')} complete; "
                f"`paceline resume {run.run_id}` makes the rest"
            )
    return 0


def _source(stack: ExitStack, path: Path) -> Source:
    if str(path) == "-":
        return "stdin", _lines(sys.stdin.buffer.readline)
    try:
        file = stack.enter_context(path.open("rb"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    return str(path), _lines(file.readline)


def _lines(readline: Callable[[int], bytes]) -> Iterator[bytes]:
    """Lines of bounded length; a longer one comes as a part that is too long, without its rest."""
    while line := readline(MAX_LINE + 1):
        yield line
        while not line.endswith(b"\n"):
            line = readline(MAX_LINE)
            if not line:
                return
