"""What commands print: results on stdout, notes on stderr, colours only on terminals."""

import json
import logging
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Union

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from paceline.settings.model import Settings

#: A cell of a table: plain text, text with its style, or rich text that is safe already.
Cell = Union[str, tuple[str, str], "Text"]

#: What a hostile text could control a terminal with: control characters, and marks that
#: change the direction of the text after them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: Width of tables in a pipe, wide enough that no line breaks.
_PIPE_WIDTH = 1000
#: Name of the handler that writes JSON.
_JSON = "paceline-json"
#: Carries notes, warnings and errors of commands if the log is JSON.
_log = logging.getLogger("paceline.cli")


def console() -> "Console":
    """A console on stdout. In a pipe it uses no colours and does not break lines."""
    from rich.console import Console

    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def echo_table(table: "Table") -> None:
    """Print a table on stdout. Long cells wrap; nothing is cut off."""
    target = console()
    for column in table.columns:
        column.overflow = "fold"
    if target.is_terminal:
        target.print(table)
        return
    with target.capture() as captured:
        target.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def table_of(
    titles: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    right: Collection[str] = (),
    whole: Collection[str] = (),
) -> "Table":
    """Make a table; texts are made safe for a terminal.

    Args:
        titles: titles of the columns.
        rows: the cells of each row.
        right: titles of the columns that are aligned to the right.
        whole: titles of the columns that do not wrap.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(
            title, justify="right" if title in right else "left", no_wrap=title in whole
        )
    for row in rows:
        pairs = [(cell, "") if isinstance(cell, str) else cell for cell in row]
        table.add_row(
            *(Text(terminal_safe(p[0]), p[1]) if isinstance(p, tuple) else p for p in pairs)
        )
    return table


def echo_json(value: object) -> None:
    """Print one JSON document on stdout, on one line."""
    click.echo(json_text(value))


def json_text(value: object) -> str:
    """JSON in which control characters are escaped, so that it is safe on a terminal."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def note(text: str, **about: str) -> None:
    """Print a note on stderr; a JSON log adds the ids in ``about``, such as ``run_id``."""
    if _as_json():
        _log.info("%s", text, extra=about)
        return
    _to_stderr(click.style(f"paceline: {terminal_safe(text)}", dim=True))


def warn(text: str) -> None:
    """Print a warning on stderr."""
    if _as_json():
        _log.warning("%s", text)
        return
    _to_stderr(click.style("paceline: warning: ", fg="yellow") + terminal_safe(text))


def fault(text: str) -> None:
    """Print an error on stderr."""
    if _as_json():
        _log.error("%s", text)
        return
    _to_stderr(click.style("paceline: error: ", fg="red") + terminal_safe(text))


#: Prints a line above a live display while there is one.
_above: Callable[[str], None] | None = None


def lines_above(show: Callable[[str], None]) -> Callable[[], None]:
    """Print notes, warnings and errors with ``show`` until the returned function is called."""
    global _above
    _above = show

    def restore() -> None:
        global _above
        _above = None

    return restore


def _to_stderr(line: str) -> None:
    with suppress(OSError):  # a closed terminal must not stop what is still to be saved
        if _above is not None:
            _above(line)
        else:
            click.echo(line, err=True)


def duration(seconds: float) -> str:
    """Seconds as people say them: ``45 s``, ``6 min 17 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def terminal_safe(text: str) -> str:
    """Replace characters that could control a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


class _ToStderr(logging.Handler):
    """Shows log records as notes and warnings, without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            warn(record.getMessage())
        else:
            note(record.getMessage())


def show_log(*, verbose: bool) -> None:
    """Show paceline's log on stderr: warnings, or with ``verbose`` from level INFO on."""
    log = logging.getLogger("paceline")
    log.setLevel(logging.INFO if verbose else logging.WARNING)
    log.propagate = False
    if _as_json():
        log.propagate = True
    elif not log.handlers:
        log.addHandler(_ToStderr())


def show_plugin_tracebacks(*, verbose: bool) -> None:
    """Whether the log shows the traceback if a plugin's factory fails."""
    logging.getLogger("paceline.plugins").setLevel(logging.DEBUG if verbose else logging.NOTSET)


def log_as_json(settings: "Settings") -> None:
    """Write every line on stderr as a JSON object, including the lines of libraries."""
    from paceline.client.terminal.json_log import json_lines

    root = logging.getLogger()
    for earlier in [one for one in root.handlers if one.name == _JSON]:
        root.removeHandler(earlier)
    handler = json_lines(settings)
    handler.name = _JSON
    root.addHandler(handler)
    ours = logging.getLogger("paceline")
    ours.handlers.clear()
    ours.propagate = True
    _log.setLevel(logging.INFO)  # notes of a command are always shown
    logging.captureWarnings(capture=True)


def _as_json() -> bool:
    return any(handler.name == _JSON for handler in logging.getLogger().handlers)
