"""``paceline retry``."""

from dataclasses import dataclass

import click

from paceline.cli.common import echo_json, harmless, json_option, note, run_async, settings_options
from paceline.plugins import Plugins
from paceline.settings.load import Loaded
from paceline.store import ENDED, ConceptState, Run


@dataclass(frozen=True, slots=True)
class _Retried:
    """A run that was queued again.

    Attributes:
        run: as it stands now.
        letters: its concepts that had failed for good.
        missing: concepts that were never finished.
    """

    run: Run
    letters: tuple[ConceptState, ...]
    missing: int


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@settings_options
@json_option
def retry(*, runs: tuple[str, ...], loaded: Loaded, plugins: Plugins, as_json: bool) -> int:
    """Give the failed concepts of each RUN another chance, and say why they failed.

    RUN is a run id, or a roadmap id for its newest run. It must be over: partial, failed or
    cancelled. Where one of them is not, none is touched. What is saved stays; what failed or is
    missing is made.

    `paceline resume` takes runs in any state, and only says what became of them: use it to get
    work going, and this one to deal with failures.

    \b
    Examples:
      paceline retry learn-rust
      paceline retry learn-rust learn-sql --json
    """
    retried, waiting = run_async(_retry(loaded, plugins, runs))
    if as_json:
        echo_json({"runs": [_to_json(one) for one in retried]})
    else:
        for one in retried:
            counts = f"{len(one.letters)} failed, {one.missing} missing"
            click.echo(harmless(f"{one.run.run_id}  queued again: {counts}  {one.run.roadmap_id}"))
            for letter in one.letters:
                reason = letter.reason or "no reason is known"
                told = f"{letter.concept_id}: {reason} ({letter.attempts} attempts)"
                click.echo(harmless(f"  {told}"))
    if waiting:
        note("no worker runs, so they wait: start `paceline worker`")
    return 0


def _to_json(one: _Retried) -> dict[str, object]:
    return {
        "run_id": one.run.run_id,
        "roadmap_id": one.run.roadmap_id,
        "status": one.run.status,
        "missing": one.missing,
        "dead_letters": [
            {
                "concept_id": letter.concept_id,
                "reason": letter.reason,
                "attempts": letter.attempts,
                "last_answer": letter.last_answer,
            }
            for letter in one.letters
        ],
    }


async def _retry(
    loaded: Loaded, plugins: Plugins, given: tuple[str, ...]
) -> tuple[list[_Retried], bool]:
    from paceline.cli.runs import find_runs
    from paceline.errors import UsageError
    from paceline.parts import open_executor, open_store, open_telemetry
    from paceline.service import Service

    settings = loaded.settings
    async with (
        open_store(settings, plugins) as store,
        open_executor(settings, plugins) as executor,
        open_telemetry(settings, plugins) as telemetry,
    ):
        found = await find_runs(store, given)
        for run in found:
            if run.status not in ENDED or run.status == "completed":
                over = run.status == "completed"
                raise UsageError(
                    f"run {run.run_id} is {run.status}: "
                    + ("nothing failed" if over else "`paceline resume` gets it going")
                    + "; allowed is partial, failed or cancelled"
                )
        service = Service(settings, store, executor, telemetry)
        retried: list[_Retried] = []
        for run in found:
            states = await store.concepts(run.run_id)
            now, _ = await service.resume(run.run_id)
            letters = tuple(one for one in states if one.status == "failed")
            missing = sum(one.status == "pending" for one in states)
            retried.append(_Retried(now, letters, missing))
        workers = [one for one in await store.workers() if one.executor == settings.executor]
    return retried, not workers
