"""Tables of settings, options, figures and commands, written into the Markdown files.

A page asks for one by a pair of comments, and what stands between them is replaced::

    <!-- begin generated: settings store -->
    <!-- end generated -->

``python -m docs.tables`` rewrites all of them in place. ``--check`` writes nothing, names the
files that are out of date, and ends with exit code 1 if there are any.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args, get_origin

import click
from paceline.contracts.field_descriptions import field_descriptions
from paceline.plugins.built_ins import BUILT_INS
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.steps.normalisations import NORMALISATIONS
from paceline_adapters.bench.figures import FIGURES
from paceline_adapters.openai.failures import CONNECTION_ROWS, ROWS
from paceline_adapters.openai.finish_reasons import FINISH_REASONS
from pydantic import BaseModel, SecretStr

FOLDER = Path(__file__).parent
#: Columns of the command line's help.
WIDTH = 88

FINISHES = tuple(FINISH_REASONS.items())

_BLOCK = re.compile(
    r"<!-- begin generated: (?P<what>[^>]+?) -->\n.*?<!-- end generated -->", re.DOTALL
)


def main(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """Rewrite all pages of a folder, or check them; returns the exit code."""
    check = "--check" in arguments
    stale = [page for page in sorted(folder.rglob("*.md")) if _refresh(page, write=not check)]
    for page in stale:
        name = page.relative_to(folder.parent)
        if check:
            print(f"{name} is out of date: run `make docs`", file=sys.stderr)  # noqa: T201
        else:
            print(f"rewrote {name}")  # noqa: T201
    return 1 if check and stale else 0


def _refresh(page: Path, *, write: bool) -> bool:
    """Whether the page's generated blocks had to change."""
    before = page.read_text(encoding="utf-8")
    after = _BLOCK.sub(lambda found: _block(found["what"]), before)
    if write and after != before:
        page.write_text(after, encoding="utf-8")
    return after != before


def _block(what: str) -> str:
    return f"<!-- begin generated: {what} -->\n\n{_text(what)}\n\n<!-- end generated -->"


def _text(what: str) -> str:
    match what.split():
        case ["settings"]:
            return _rows(Settings)
        case ["settings", section]:
            return _rows(_section(Settings, section))
        case ["settings", section, items]:  # what each of a list is
            return _rows(_section(_section(Settings, section), items))
        case ["options", kind, name]:
            kind = next(known for known in BUILT_INS if known == kind)
            return _rows(Plugins().offer(kind, name).options)
        case ["figures"]:
            return _figures()
        case ["commands"]:
            return _commands()
        case ["failures", "answers"]:
            return _table(("the server answers", "error"), ((r.when, r.kind) for r in ROWS))
        case ["failures", "connections"]:
            return _table(("what happens", "error"), ((r.when, r.kind) for r in CONNECTION_ROWS))
        case ["finish-reasons"]:
            rows = ((str(end), ", ".join(f"`{n}`" for n in names)) for end, names in FINISHES)
            return _table(("meaning", "finish reasons, in any case"), rows)
        case ["normalisations"]:
            return "\n".join(f"- {row.slip}" for row in NORMALISATIONS)
        case _:
            raise ValueError(f"no table is generated for {what!r}")


def _table(head: Sequence[str], rows: Iterable[tuple[str, object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for first, second in rows:
        shown = f"`{second.__name__}`" if isinstance(second, type) else second
        lines.append(f"| {first} | {shown} |")
    return "\n".join(lines)


def _section(model: type[BaseModel], field: str) -> type[BaseModel]:
    annotation = model.model_fields[field].annotation
    if not isinstance(annotation, type):
        *_, annotation = get_args(annotation)  # of a list or a table
    assert isinstance(annotation, type)
    assert issubclass(annotation, BaseModel)
    return annotation


def _figures() -> str:
    lines = ["| figure | name | unit | meaning |", "| --- | --- | --- | --- |"]
    for name, figure in FIGURES.items():
        lines.append(f"| {figure.title} | `{name}` | {figure.unit} | {figure.meaning} |")
    return "\n".join(lines)


def _rows(model: type[BaseModel]) -> str:
    lines = ["| key | default | meaning |", "| --- | --- | --- |"]
    descriptions = field_descriptions(model)
    for name, field in model.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel) or (default == {} and model is Settings):
            continue  # it has a table of its own
        if default == {}:
            default = None
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        shown = "" if default is None else f"`{default}`"
        bounds = ", ".join(_bound(item) for item in field.metadata if _bound(item))
        meaning = descriptions[name].replace("\n", " ").replace("``", "`")
        choices = [f"`{one}`" for one in get_args(field.annotation) if isinstance(one, str)]
        allowed = " or ".join(choices) or bounds
        lines.append(f"| `{name}` | {shown} | {meaning}{f' ({allowed})' if allowed else ''} |")
        if get_origin(field.annotation) is dict and _is_model(field.annotation):
            nested = _rows(_section(model, name)).splitlines()[2:]
            lines += [line.replace("| `", f"| `{name}.KEY.", 1) for line in nested]
    return "\n".join(lines)


def _is_model(annotation: object) -> bool:
    """Whether the values of a table are models."""
    values = get_args(annotation)[-1]
    return isinstance(values, type) and issubclass(values, BaseModel)


def _bound(item: object) -> str:
    for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        value = getattr(item, name, None)
        if value is not None:
            return f"{sign} {value:,}".replace(",", " ")
    return ""


def _commands() -> str:
    """The help of ``paceline`` and of each of its commands, as they print it."""
    from paceline.cli.group import cli

    return "\n\n".join(_helps(cli, None, "paceline"))


def _helps(command: click.Command, parent: click.Context | None, name: str) -> Iterator[str]:
    with click.Context(
        command,
        parent=parent,
        info_name=name,
        terminal_width=WIDTH,
        help_option_names=["-h", "--help"],
    ) as context:
        help_text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        yield f"## {context.command_path}\n\n```text\n{help_text}\n```"
        if isinstance(command, click.Group):
            for one in command.list_commands(context):
                sub_command = command.get_command(context, one)
                assert sub_command is not None
                if not sub_command.hidden:
                    yield from _helps(sub_command, context, one)


if __name__ == "__main__":
    os.environ["PACELINE_PLUGINS"] = "none"  # the pages describe what is built in
    sys.exit(main(sys.argv[1:]))
