"""``paceline show RUN CONCEPT STEP --versions`` and ``--diff``."""

import difflib
from collections.abc import Sequence

import click

from paceline.cli.place import Place
from paceline.cli.runs import find_run
from paceline.client.content.revising import NoSuchVersion, version_of
from paceline.client.render import Reader, spent_words, version_to_json
from paceline.client.terminal.output import (
    Cell,
    console,
    echo_json,
    echo_table,
    table_of,
    terminal_safe,
)
from paceline.contracts.storage.records import Artifact
from paceline.contracts.storage.store import Store
from paceline.errors import UsageError
from paceline.runtime.part_factory import PartFactory


async def show_versions(store: Store, factory: PartFactory, place: Place, *, as_json: bool) -> None:
    """List the versions of an artifact, oldest first.

    Raises:
        RunNotFound: the run does not exist.
        UsageError: the artifact does not exist.
    """
    run_id, versions = await _versions(store, place)
    currency = factory.settings.provider.currency
    if as_json:
        described = [version_to_json(one, currency) for one in versions]
        where = {"run_id": run_id, "concept_id": place.concept_id, "step": place.step}
        echo_json({**where, "versions": described})
        return
    rows: list[list[Cell]] = []
    for one in versions:
        tokens, cost = spent_words(one.spent, currency)
        mark = ("current, stale" if one.stale else "current") if one.current else ""
        created = "" if one.created_at is None else f"{one.created_at.astimezone():%m-%d %H:%M}"
        wish = " ".join((one.instruction or "").split())
        origin = f"adopted from {one.adopted_from}" if one.adopted_from else wish
        row = [str(one.version), mark, created, one.model, tokens, cost, one.requested_by or ""]
        rows.append([*row, origin])
    titles = ("version", "", "created", "model", "tokens", "cost", "by", "instruction")
    echo_table(table_of(titles, rows, right=("version", "tokens", "cost"), whole=("created",)))


async def show_diff(
    store: Store, factory: PartFactory, place: Place, version: int | None, *, as_json: bool
) -> None:
    """Show what changed from a version to the current one.

    Args:
        store: the open store.
        factory: makes the step that renders the content.
        place: the artifact.
        version: the older version; the one before the current if ``None``.
        as_json: print both versions as JSON.

    Raises:
        RunNotFound: the run does not exist.
        UsageError: the artifact does not exist, or has no such version.
    """
    run_id, versions = await _versions(store, place)
    current = next(one for one in versions if one.current)
    older = _older(versions, current, version)
    if as_json:
        currency = factory.settings.provider.currency
        pair = {
            "from": version_to_json(older, currency),
            "to": version_to_json(current, currency),
        }
        where = {"run_id": run_id, "concept_id": place.concept_id, "step": place.step}
        echo_json({**where, **pair})
        return
    reader = Reader(factory)
    before, after = (reader.markdown([one]).splitlines() for one in (older, current))
    names = f"version {older.version}", f"version {current.version} (current)"
    lines = list(difflib.unified_diff(before, after, *names, lineterm=""))
    if not lines:
        click.echo(f"{names[0]} and {names[1]} have the same text")
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        text = terminal_safe(line)
        if console().is_terminal:
            text = click.style(text, fg=colours.get(line[:1]))
        click.echo(text)


def _older(versions: Sequence[Artifact], current: Artifact, version: int | None) -> Artifact:
    if version is not None:
        return version_of(versions, version)
    past = [one for one in versions if not one.current]
    if not past:
        raise NoSuchVersion("the artifact has only one version")
    return next((one for one in reversed(past) if one.version < current.version), past[-1])


async def _versions(store: Store, place: Place) -> tuple[str, Sequence[Artifact]]:
    run = await find_run(store, place.run)
    versions = await store.versions(run.run_id, place.concept_id, place.step or "")
    if not versions:
        raise UsageError(
            f"run {run.run_id} has no artifact {place.step!r} of concept {place.concept_id!r}: "
            f"`paceline show {run.run_id}` lists what exists"
        )
    return run.run_id, versions
