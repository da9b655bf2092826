"""``paceline limits``: show, set and reset the limits over all workers."""

from collections.abc import Mapping, Sequence

import click

from paceline.app import App
from paceline.cli.show_group import ShowGroup
from paceline.client.limit_status import LimitStatus
from paceline.client.terminal.app_options import app_options, json_option, run_async
from paceline.client.terminal.output import echo_json, echo_table, note, table_of, terminal_safe
from paceline.contracts.controls import LIMIT_BOUNDS, LimitOverride
from paceline.errors import UsageError

_KEY = click.option(
    "--key",
    metavar="KEY",
    default="",
    help="The model, e.g. openai:gpt-4o; all models if left out.",
)
_BY = click.option(
    "--by", metavar="NAME", help="Your name in the audit log; by default your login."
)


@click.group(cls=ShowGroup)
def limits() -> None:
    """Show and change limits over all workers while they run.

    `paceline limits` alone is short for `paceline limits show`. Changed numbers replace those of
    the settings until `paceline limits reset`.

    \b
    Examples:
      paceline limits
      paceline limits set global --key openai:gpt-4o requests_per_minute=300
      paceline limits set resource:tavily concurrency=2
      paceline limits reset global --key openai:gpt-4o
    """


@limits.command()
@app_options
@json_option
def show(*, app: App, as_json: bool) -> int:
    """Show each limit: its settings, what was changed, its use, and why calls wait."""
    found = run_async(_read(app))
    if as_json:
        echo_json({"limits": [one.to_json() for one in found]})
    elif not found:
        note("no limit over all workers: set strategy to global, or add a resource")
    else:
        _print(found)
    return 0


@limits.command(name="set")
@click.argument("limit")
@click.argument("values", metavar="NAME=NUMBER...", nargs=-1, required=True)
@_KEY
@_BY
@app_options
@json_option
def set_(
    *, limit: str, values: tuple[str, ...], key: str, by: str | None, app: App, as_json: bool
) -> int:
    """Replace numbers of LIMIT: `global`, or `resource:NAME`.

    NAME is concurrency, requests_per_minute or tokens_per_minute. Numbers that are not named stay
    as they are. Workers apply the change within seconds.
    """
    changed = run_async(_set(app, limit, dict(map(_number, values)), key, by))
    _print_change(changed, as_json=as_json)
    return 0


@limits.command()
@click.argument("limit")
@_KEY
@_BY
@app_options
@json_option
def reset(*, limit: str, key: str, by: str | None, app: App, as_json: bool) -> int:
    """Return to the numbers of the settings for LIMIT."""
    changed = run_async(_reset(app, limit, key, by))
    _print_change(changed, as_json=as_json)
    return 0


def _number(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if not value.isascii() or not value.isdigit() or len(value) > 12:
        raise UsageError(
            f"{text[:100]!r} must be NAME=NUMBER with one of {', '.join(LIMIT_BOUNDS)}"
        )
    return name.replace("-", "_"), int(value)


async def _read(app: App) -> Sequence[LimitStatus]:
    async with app.client(create=False) as client:
        return await client.limits()


async def _set(
    app: App, limit: str, values: dict[str, int], key: str, by: str | None
) -> LimitOverride:
    async with app.client(create=False) as client:
        return await client.set_limits(limit, values, key=key, by=by)


async def _reset(app: App, limit: str, key: str, by: str | None) -> LimitOverride:
    async with app.client(create=False) as client:
        return await client.reset_limits(limit, key=key, by=by)


def _print_change(changed: LimitOverride, *, as_json: bool) -> None:
    if as_json:
        echo_json(LimitStatus(limit=changed.limit, key=changed.key, changed=changed).to_json())
        return
    place = f"{changed.limit} {changed.key}".strip()
    click.echo(terminal_safe(f"{place}: {_words(changed.values) or 'as in the settings'}"))


def _words(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _print(found: Sequence[LimitStatus]) -> None:
    titles = ("limit", "key", "settings", "changed", "by", "held", "waiting", "requests", "tokens")
    rows = [
        (
            one.limit,
            one.key,
            _words(one.settings),
            "" if one.changed is None else _words(one.changed.values),
            "" if one.changed is None else one.changed.by,
            str(one.held),
            str(one.waiting),
            _used(one.requests, one.request_quota),
            _used(one.tokens, one.token_quota),
        )
        for one in found
    ]
    echo_table(table_of(titles, rows, right=titles[5:], whole=("limit", "key")))
    for one in found:
        if one.why:
            click.echo(terminal_safe(f"{one.limit} {one.key}".strip() + f" waits: {one.why}"))


def _used(used: int, quota: int | None) -> str:
    return "" if quota is None else f"{used:,} of {quota:,}"
