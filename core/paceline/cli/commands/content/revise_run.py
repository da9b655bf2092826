"""Revising artifacts and following the run to its end, with the display of ``paceline run``."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from paceline.app import App
from paceline.cli.runs import find_run
from paceline.client.client import Client, Submitted
from paceline.client.terminal.generate import Generation
from paceline.client.terminal.output import echo_json, note, terminal_safe
from paceline.client.terminal.progress_display import display
from paceline.contracts.storage.records import Run
from paceline.process.stoppable import run_stoppable
from paceline.text import count


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a user wants to revise.

    Attributes:
        run: run id, or roadmap id for its newest run.
        place: concept and step of one artifact; ``None`` for all that the next two select.
        step: only artifacts of this step.
        where: a condition, as ``Client.select`` takes it.
        instruction: what to change.
        downstream: also revise what was made from these artifacts.
        requested_by: name of the user, kept with the version.
    """

    run: str
    place: tuple[str, str] | None = None
    step: str | None = None
    where: str | None = None
    instruction: str | None = None
    downstream: bool = False
    requested_by: str | None = None

    async def find(self, client: Client) -> tuple[Run, Sequence[tuple[str, str]]]:
        """The run, and the artifacts that were asked for."""
        run = await find_run(client.store, self.run)
        if self.place is not None:
            return run, [self.place]
        return run, await client.select(run.run_id, step=self.step, where=self.where)


def revise_artifacts(app: App, wish: Wish, *, workers: int, dry_run: bool, as_json: bool) -> int:
    """Revise what the user wants, and show progress and results; returns the exit code."""
    if dry_run:
        run_stoppable(_list(app, wish, as_json=as_json))
        return 0
    shown = display(as_json=as_json, steps=len(app.settings.run.steps))
    revising = Revising(app, (), shown, workers=workers, wish=wish)
    run_stoppable(revising.run())
    if not revising.results:
        return 0
    return revising.report(as_json=as_json)


async def _list(app: App, wish: Wish, *, as_json: bool) -> None:
    """Print what would be revised."""
    async with app.client(create=False) as client:
        run, places = await wish.find(client)
        places = await client.revised(run.run_id, places, downstream=wish.downstream)
    if as_json:
        listed = [{"concept_id": concept_id, "step": step} for concept_id, step in places]
        echo_json({"run_id": run.run_id, "artifacts": listed})
        return
    for concept_id, step in places:
        click.echo(terminal_safe(f"{concept_id}  {step}"))
    note(f"{count(len(places), 'artifact')} would be made again")


@dataclass(slots=True)
class Revising(Generation):
    """One call of ``paceline revise``."""

    wish: Wish = Wish(run="")

    async def run(self) -> None:
        """Find the run first: for an unknown one, no database is created and no worker starts."""
        async with self.app.factory.open_store(create=False) as store:
            await find_run(store, self.wish.run)
        await Generation.run(self)  # `super()` does not know a class with slots

    async def submit(self, client: Client) -> list[tuple[Run, Submitted]]:
        """Request the revisions and add the run to the display."""
        wish = self.wish
        run, places = await wish.find(client)
        if not places:
            note(f"run {run.run_id} has no artifact that the condition selects; nothing to do")
            return []
        run, places = await client.revise(
            run.run_id,
            places,
            instruction=wish.instruction,
            downstream=wish.downstream,
            requested_by=wish.requested_by,
        )
        self.display.add(run.run_id, run.title, run.total)
        note(f"{run.title}: {count(len(places), 'artifact')} to make again", run_id=run.run_id)
        if run.status == "paused":
            note(f"run {run.run_id} is paused; `paceline resume {run.run_id}` starts the revisions")
            return []
        return [(run, "resumed" if run.status == "queued" else "attached")]
