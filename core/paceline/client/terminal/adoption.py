"""What a run takes over from an earlier one, in words: ``--adopt`` and ``--explain``."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from paceline.app import App
from paceline.client.content.adoption import Adoption
from paceline.client.run_request import RunRequest
from paceline.client.terminal.app_options import run_async
from paceline.client.terminal.output import echo_json, note, terminal_safe
from paceline.contracts.share import Share
from paceline.roadmaps.model import Roadmap

R = TypeVar("R")

#: Maximum number of ids to list of each kind.
_SHOWN = 10


def explain_option(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--explain``, given as ``as_explained``."""
    return click.option(
        "--explain",
        "as_explained",
        is_flag=True,
        help="Print what --adopt would take over, and what is hashed for it. Nothing starts.",
    )(command)


def note_adoption(roadmap: Roadmap, adoption: Adoption) -> None:
    """Say what is taken over and what is made, before work starts."""
    note(f"{roadmap.title}: {adoption.summary()}")
    for word, ids in (
        ("changed", adoption.changed),
        ("added", adoption.added),
        ("removed", adoption.removed),
    ):
        if ids:
            more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
            note(f"  {word}: {', '.join(ids[:_SHOWN])}{more}")


def explain(
    app: App, roadmaps: Sequence[Roadmap], request: RunRequest, share: Share, *, as_json: bool
) -> None:
    """Print what a run with ``--adopt`` would take over, and the inputs of each artifact."""

    async def look() -> None:
        async with app.client(create=False) as client:
            for roadmap in roadmaps:
                adoption = await client.adoption(roadmap, request, share)
                inputs = await client.explain_inputs(roadmap, request)
                listed.append(
                    {
                        "roadmap_id": roadmap.roadmap_id,
                        **adoption.to_json(),
                        "artifacts": [
                            {"concept_id": concept_id, "step": step, **found}
                            for (concept_id, step), found in inputs.items()
                        ],
                    }
                )
                if not as_json:
                    note_adoption(roadmap, adoption)
                    making = set(adoption.to_make)
                    for (concept_id, step), found in inputs.items():
                        what = "make" if (concept_id, step) in making else "take over"
                        line = f"{found['hash']}  {what:9}  {concept_id}  {step}"
                        click.echo(terminal_safe(line))

    listed: list[dict[str, object]] = []
    run_async(look())
    if as_json:
        echo_json({"roadmaps": listed})
