"""``paceline resume``, and its old name ``paceline retry``."""

from dataclasses import dataclass

import click

from paceline.app import App
from paceline.cli.commands.runs.pause import print_pauses
from paceline.cli.request_options import budget_option, scope_options, step_names
from paceline.cli.target_options import target_options, targets_of
from paceline.client.client import Submitted
from paceline.client.render import dead_letter_to_json, run_brief
from paceline.client.terminal.app_options import executor_options, json_option, run_async
from paceline.client.terminal.output import echo_json, note, terminal_safe
from paceline.contracts.controls import Controls, PauseTarget
from paceline.contracts.storage.records import ConceptState, ResumeOnly, Run
from paceline.errors import UsageError
from paceline.text import count

_OUTCOMES: dict[Submitted, str] = {
    "created": "queued",
    "resumed": "queued again",
    "attached": "already queued or running",
    "complete": "complete, nothing to do",
}


@dataclass(frozen=True, slots=True)
class _Resumed:
    """One run after the command, with what it had to generate before."""

    run: Run
    submitted: Submitted
    dead_letters: list[ConceptState]
    missing: int

    def to_json(self) -> dict[str, object]:
        return {
            **run_brief(self.run),
            "submitted": self.submitted,
            "missing": self.missing,
            "dead_letters": [dead_letter_to_json(one) for one in self.dead_letters],
        }


@dataclass(frozen=True, slots=True)
class _More:
    """What the command adds to the scope of every run."""

    steps: tuple[str, ...] | None = None
    also: tuple[str, ...] | None = None


@click.command()
@click.argument("runs", metavar="[RUN...]", nargs=-1)
@target_options
@click.option("--failed-only", is_flag=True, help="Generate only the concepts that failed.")
@click.option(
    "--missing-only", is_flag=True, help="Generate only missing concepts; failed ones stay failed."
)
@scope_options
@budget_option
@executor_options
@json_option
def resume(
    *,
    runs: tuple[str, ...],
    everything: bool,
    tenants: tuple[str, ...],
    keys: tuple[str, ...],
    by: str | None,
    failed_only: bool,
    missing_only: bool,
    steps: str | None,
    only: tuple[str, ...],
    budget: float | None,
    app: App,
    as_json: bool,
) -> int:
    """Continue each RUN (a run id, or a roadmap id for its newest run), or lift a pause.

    The run is queued again, and workers generate its failed and missing concepts. Saved
    content stays. The command prints why concepts failed. With --failed-only or
    --missing-only, every RUN must have ended; otherwise no RUN is queued.

    With --budget, each RUN may cost that much in all, with what it has cost so far.

    With --steps or --only, each RUN also makes these steps, or also covers these parts of its
    roadmap. A RUN that has not ended adds them when it has finished its present part.

    With --everything, --tenant or --key, the pause of the same option is lifted.

    \b
    Examples:
      paceline resume learn-rust
      paceline resume --tenant acme
      paceline resume learn-rust learn-sql --executor celery
      paceline resume learn-rust --failed-only
      paceline resume learn-rust --steps tutorial,flashcards
      paceline resume learn-rust --budget 5
    """
    targets = targets_of(everything=everything, tenants=tenants, keys=keys, runs=runs)
    if targets:
        if failed_only or missing_only or steps or only or budget is not None:
            raise UsageError("--everything, --tenant and --key take no other option of a run")
        print_pauses(run_async(_lift(app, targets, by)), as_json=as_json)
        return 0
    if failed_only and missing_only:
        raise UsageError("--failed-only and --missing-only exclude each other; use at most one")
    chosen: ResumeOnly | None = "failed" if failed_only else "missing" if missing_only else None
    more = _More(step_names(steps), only or None)
    if chosen is not None and more != _More():
        raise UsageError(f"--{chosen}-only cannot be combined with --steps or --only")
    resumed, waiting = run_async(_resume(app, runs, chosen, more, budget, by))
    if as_json:
        echo_json({"runs": [one.to_json() for one in resumed]})
    else:
        for one in resumed:
            _print(one)
    if waiting:
        note(
            "no worker is running, so the runs wait: start `paceline worker`, or run "
            "`paceline run FILE` with the roadmap's file"
        )
    return 0


def _print(one: _Resumed) -> None:
    counts = ""
    if one.submitted == "resumed" and (one.dead_letters or one.missing):
        counts = f" ({len(one.dead_letters)} failed, {one.missing} missing)"
    line = f"{one.run.run_id}  {_OUTCOMES[one.submitted]}{counts}  {one.run.roadmap_id}"
    click.echo(terminal_safe(line))
    for concept in one.dead_letters:
        reason = concept.reason or "unknown reason"
        attempts = count(concept.attempts, "attempt")
        click.echo(terminal_safe(f"  {concept.concept_id}: {reason} ({attempts})"))


async def _lift(app: App, targets: list[PauseTarget], by: str | None) -> Controls:
    async with app.client(create=False) as client:
        for target in targets:
            await client.resume_work(target, by=by)
        return await client.controls()


async def _resume(
    app: App,
    names: tuple[str, ...],
    only: ResumeOnly | None,
    more: _More,
    budget: float | None,
    by: str | None,
) -> tuple[list[_Resumed], bool]:
    from paceline.cli.runs import find_runs
    from paceline.client.terminal.generate import any_worker

    async with app.client(create=False) as client:
        client.check_budget(budget)
        found = await find_runs(client.store, names)
        if only is not None:
            for run in found:
                await client.check_resumable(run, only)
        for run in found:
            roadmap = await client.store.roadmap(run.run_id) if more.also else None
            client.check_scope(more.steps, more.also, roadmap)
        resumed: list[_Resumed] = []
        for run in found:
            states = await client.store.concepts(run.run_id)
            now, submitted = await client.resume(
                run.run_id, only=only, steps=more.steps, also=more.also, budget=budget, by=by
            )
            failed = [state for state in states if state.status == "failed"]
            missing = sum(state.status in ("pending", "skipped") for state in states)
            if now.scope != run.scope or run.status == "completed":
                after = await client.store.concepts(run.run_id, status=["pending"])
                missing = len(after) - len(failed)
            resumed.append(_Resumed(now, submitted, failed, missing))
        waiting = not await any_worker(client.store, app.settings.executor)
    return resumed, waiting and any(one.run.status == "queued" for one in resumed)
