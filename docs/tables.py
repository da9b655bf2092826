"""Tables of settings, options and figures, made from the code when the documentation is built."""

import re
from typing import Any, get_args

from paceline.plugins.built_ins import BUILT_INS
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline_adapters.bench.figures import FIGURES
from pydantic import BaseModel, SecretStr

_MARK = re.compile(r"<!-- (settings|options|figures) ?([\w-]*) ?([\w-]*) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page: put a table where a mark asks for one."""
    return _MARK.sub(lambda found: _table(*found.groups()), markdown)


def _table(what: str, first: str, second: str) -> str:
    if what == "figures":
        return _figures()
    if what == "options":
        plugins = Plugins()
        kind = next(kind for kind in BUILT_INS if kind == first)
        return _rows(plugins.offer(kind, second).options)
    if first:
        annotation = Settings.model_fields[first].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        if second:  # what each of a list is
            (annotation,) = get_args(annotation.model_fields[second].annotation)
        return _rows(annotation)
    return _rows(Settings)


def _figures() -> str:
    lines = ["| figure | name | unit | meaning |", "| --- | --- | --- | --- |"]
    for name, figure in FIGURES.items():
        lines.append(f"| {figure.title} | `{name}` | {figure.unit} | {figure.meaning} |")
    return "\n".join(lines)


def _rows(model: type[BaseModel]) -> str:
    lines = ["| key | default | meaning |", "| --- | --- | --- |"]
    for name, field in model.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel) or default == {}:
            continue
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        shown = "" if default is None else f"`{default}`"
        bounds = ", ".join(_bound(item) for item in field.metadata if _bound(item))
        meaning = (field.description or "").replace("\n", " ")
        choices = [repr(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
        allowed = ", ".join(choices) or bounds
        lines.append(f"| `{name}` | {shown} | {meaning}{f' ({allowed})' if allowed else ''} |")
    return "\n".join(lines)


def _bound(item: object) -> str:
    for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        value = getattr(item, name, None)
        if value is not None:
            return f"{sign} {value:,}".replace(",", " ")
    return ""
