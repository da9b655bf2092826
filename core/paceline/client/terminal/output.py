"""What commands print: results on stdout, remarks on stderr, colours on terminals only."""

import json
import logging
import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from paceline.settings.model import Settings

#: What a hostile text could steer a terminal with: control characters, and the marks that
#: turn the direction of what follows.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: Width of tables in a pipe, where no line is to be broken.
_PIPE_WIDTH = 1000
#: The handler that writes JSON has this name.
_JSON = "paceline-json"
#: What commands say where the log is JSON.
_said = logging.getLogger("paceline.cli")


def console() -> "Console":
    """A console on stdout; in a pipe it neither colours nor breaks lines."""
    from rich.console import Console

    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def echo_table(table: "Table") -> None:
    """A table on stdout; in a pipe without the blanks that fill up its last column.

    On a narrow terminal what does not fit goes on in the next line: nothing is cut off.
    """
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


def echo_json(value: object) -> None:
    """One JSON document on stdout, on one line."""
    click.echo(json_text(value))


def json_text(value: object) -> str:
    """JSON that steers no terminal: what would is escaped, so nothing is lost."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def note(text: str, **about: str) -> None:
    """A remark on stderr; ``about`` are the ids of what it concerns, as ``run_id``."""
    if _as_json():
        _said.info("%s", text, extra=about)
        return
    click.echo(click.style(f"paceline: {harmless(text)}", dim=True), err=True)


def warn(text: str) -> None:
    """A warning on stderr."""
    if _as_json():
        _said.warning("%s", text)
        return
    click.echo(click.style("paceline: warning: ", fg="yellow") + harmless(text), err=True)


def fault(text: str) -> None:
    """An error on stderr."""
    if _as_json():
        _said.error("%s", text)
        return
    click.echo(click.style("paceline: error: ", fg="red") + harmless(text), err=True)


def harmless(text: str) -> str:
    """The text without what would steer a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


class _ToStderr(logging.Handler):
    """Our log as remarks; a traceback only when debugging is asked for."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            warn(record.getMessage())
        else:
            note(record.getMessage())


def show_log(*, verbose: bool) -> None:
    """Show paceline's log on stderr: warnings, or everything from ``info`` on."""
    log = logging.getLogger("paceline")
    log.setLevel(logging.INFO if verbose else logging.WARNING)
    log.propagate = False
    if _as_json():
        log.propagate = True
    elif not log.handlers:
        log.addHandler(_ToStderr())


def log_as_json(settings: "Settings") -> None:
    """From here on each line on stderr is a JSON object, those of libraries too."""
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
    _said.setLevel(logging.INFO)  # a command's own remarks are always shown
    logging.captureWarnings(capture=True)


def _as_json() -> bool:
    return any(handler.name == _JSON for handler in logging.getLogger().handlers)
