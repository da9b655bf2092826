"""``paceline purge``: delete runs completely."""

import sys
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import click

from paceline.app import App
from paceline.client.client import Client
from paceline.client.terminal.app_options import executor_options, json_option, run_async
from paceline.client.terminal.output import echo_json, echo_table, note, table_of, terminal_safe
from paceline.contracts.storage.retention import PurgeableRun, Purged
from paceline.contracts.storage.rules import run_in_work_error
from paceline.errors import RunNotFound, UsageError
from paceline.runtime.recovery import recover
from paceline.settings.durations import parse_duration
from paceline.text import count

#: Maximum number of interrupted purges among which a run is searched.
_MAX_HIDDEN = 1000
#: Number of runs from which a terminal shows a progress bar.
_MANY = 20


@dataclass(frozen=True, slots=True)
class _Selection:
    """The runs that the command names."""

    runs: tuple[str, ...]
    tenant: str | None
    older_than: float | None


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--tenant", metavar="NAME", help="Delete the runs of this tenant.")
@click.option(
    "--older-than", metavar="AGE", help="Delete runs that ended longer ago, such as 90d or 12h."
)
@click.option("--dry-run", is_flag=True, help="List the runs, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@executor_options
@json_option
def purge(
    *,
    runs: tuple[str, ...],
    tenant: str | None,
    older_than: str | None,
    dry_run: bool,
    yes: bool,
    app: App,
    as_json: bool,
) -> int:
    """Delete each RUN, or the runs of a tenant, or runs that ended long ago.

    RUN is a run id, or a roadmap id for its newest run. Artifacts, versions, journal, events,
    roadmap and deliveries are deleted with the run, and cannot be restored. A running run must
    be cancelled first. With --older-than, only runs that have ended are deleted.

    If the command is interrupted, run it again to continue.

    \b
    Examples:
      paceline purge learn-rust
      paceline purge --older-than 90d --dry-run
      paceline purge --tenant acme --yes
    """
    selection = _selection(runs, tenant, older_than)
    if not (dry_run or yes) and not asks():
        raise UsageError("purge needs --yes if it does not run on a terminal")
    found = run_async(_find(app, selection))
    if dry_run:
        _print_found(found, as_json=as_json)
        return 0
    if found and not yes:
        question = f"Delete {_size(found)}? This cannot be undone."
        if not click.confirm(terminal_safe(question), err=True):
            note("nothing was deleted")
            return 1
    purged = run_async(_purge(app, selection, found, quiet=as_json)) if found else []
    if as_json:
        echo_json({"purged": [asdict(one) for one in purged]})
    else:
        artifacts = sum(one.artifacts for one in purged)
        click.echo(f"purged {count(len(purged), 'run')} with {count(artifacts, 'artifact')}")
    return 0


def _selection(runs: tuple[str, ...], tenant: str | None, older_than: str | None) -> _Selection:
    if runs and (tenant is not None or older_than is not None):
        raise UsageError("RUN cannot be combined with --tenant or --older-than")
    if not runs and tenant is None and older_than is None:
        raise UsageError("name a RUN, or use --tenant or --older-than")
    if older_than is None:
        return _Selection(runs, tenant, None)
    try:
        return _Selection(runs, tenant, parse_duration(older_than))
    except UsageError as error:
        raise UsageError(f"--older-than {error}") from None


def asks() -> bool:
    """Whether a person can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _size(found: Sequence[PurgeableRun]) -> str:
    artifacts = sum(one.artifacts for one in found)
    return f"{count(len(found), 'run')} with {count(artifacts, 'artifact')}"


async def _find(app: App, selection: _Selection) -> list[PurgeableRun]:
    """The runs to delete.

    Raises:
        RunNotFound: a RUN does not exist.
        RunInWork: a RUN or a run of the tenant is running.
    """
    async with app.client(create=False) as client:
        if selection.runs:
            named = [await _named(client, name) for name in selection.runs]
            return list({one.run_id: one for one in named}.values())
        if selection.tenant is not None and selection.older_than is None:
            own = client.for_tenant(selection.tenant)
            for run in await own.runs(status=["running"], limit=1):
                raise run_in_work_error(run)
        chosen = client.purgeable(tenant=selection.tenant, older_than=selection.older_than)
        return [run async for run in chosen]


async def _named(client: Client, name: str) -> PurgeableRun:
    from paceline.cli.runs import find_run

    try:
        run = await find_run(client.store, name)
    except RunNotFound:
        for hidden in await client.store.purgeable(limit=_MAX_HIDDEN):
            if hidden.interrupted and hidden.run_id == name:
                return hidden
        raise
    if run.status == "running":
        await recover(client.store, client.settings, None, run_id=run.run_id)
        run = await client.run(run.run_id)
    if run.status == "running":
        raise run_in_work_error(run)
    return PurgeableRun(
        run_id=run.run_id,
        roadmap_id=run.roadmap_id,
        tenant=run.share.tenant,
        status=run.status,
        finished_at=run.finished_at,
        artifacts=len(await client.store.marks(run.run_id)),
    )


async def _purge(
    app: App, selection: _Selection, found: Sequence[PurgeableRun], *, quiet: bool
) -> list[Purged]:
    purged: list[Purged] = []
    async with app.client(create=False) as client:
        with _progress(len(found), quiet=quiet) as advance:
            async for one in _purged(client, selection, found):
                purged.append(one)
                advance()
    return purged


async def _purged(
    client: Client, selection: _Selection, found: Sequence[PurgeableRun]
) -> AsyncIterator[Purged]:
    if selection.runs:
        for run in found:
            yield await client.purge(run.run_id)
        return
    async for one in client.purge_all(tenant=selection.tenant, older_than=selection.older_than):
        yield one


@contextmanager
def _progress(runs: int, *, quiet: bool) -> Generator[Callable[[], None]]:
    """A progress bar on stderr for many runs, if that is a terminal."""
    if quiet or runs < _MANY or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("purging", total=runs)
        yield lambda: bar.advance(task)


def _print_found(found: Sequence[PurgeableRun], *, as_json: bool) -> None:
    if as_json:
        echo_json({"purgeable": [asdict(one) for one in found]})
        return
    rows = [
        (
            one.run_id,
            one.status,
            "" if one.finished_at is None else f"{one.finished_at:%Y-%m-%d %H:%M}",
            str(one.artifacts),
            one.tenant,
            one.roadmap_id,
        )
        for one in found
    ]
    titles = ("run", "status", "ended", "artifacts", "tenant", "roadmap")
    if rows:
        echo_table(table_of(titles, rows, right=("artifacts",), whole=("run", "ended")))
    click.echo(f"{_size(found)}; nothing was deleted")
