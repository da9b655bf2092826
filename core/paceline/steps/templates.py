"""Prompt templates: the built-in ones, and those of the user that replace them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Protocol

from paceline.contracts.steps.step import Subject
from paceline.errors import SettingsError
from paceline.steps.facts import PLACEHOLDERS

#: Maximum size of a template, in bytes.
MAX_BYTES = 256 * 1024


class Prompt(Protocol):
    """A loaded template."""

    @property
    def source(self) -> str:
        """The text of the template."""
        ...

    def text(self, subject: Subject, values: Mapping[str, str]) -> str:
        """The prompt for one concept; ``values`` are those of the placeholders."""
        ...


@dataclass(frozen=True, slots=True)
class PlaceholderPrompt:
    """A template with placeholders such as ``$concept``."""

    template: Template

    @property
    def source(self) -> str:
        """The text of the template."""
        return self.template.template

    def text(self, subject: Subject, values: Mapping[str, str]) -> str:  # noqa: ARG002
        """The template with its placeholders filled in."""
        return self.template.substitute(values)


def load_prompt(step: str, own: Path | None = None) -> Prompt:
    """Load the prompt of a step: a file that ends with ``.j2`` is in Jinja2.

    Raises:
        SettingsError: as ``load_template``.
    """
    if own is None or own.suffix not in (".j2", ".jinja2", ".jinja"):
        return PlaceholderPrompt(load_template(step, own))
    from paceline.steps.jinja_prompt import JinjaPrompt

    place = f"prompts.{step}: {own}"
    return JinjaPrompt(_read(own, place), place)


def load_template(
    step: str, own: Path | None = None, *, allowed: Collection[str] = PLACEHOLDERS
) -> Template:
    """Load a template with placeholders.

    Args:
        step: the step's name; the built-in template is ``paceline/steps/prompts/STEP.md``.
        own: file to use instead, from ``prompts.STEP`` of the settings.
        allowed: placeholders that the template may contain, without ``$``.

    Raises:
        SettingsError: the file cannot be read, is empty or too large, or names an unknown
            placeholder.
    """
    place = f"prompts.{step}"
    if own is None:
        shipped = resources.files("paceline.steps").joinpath("prompts", f"{step}.md")
        text = shipped.read_text(encoding="utf-8")
    else:
        place = f"{place}: {own}"
        text = _read(own, place)
    template = Template(text.strip())
    _check(template, place, allowed)
    return template


def _read(path: Path, place: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{place}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the path
        raise SettingsError(f"{place}: cannot be read: {error}") from None
    if len(raw) > MAX_BYTES:
        raise SettingsError(f"{place}: must not be larger than {MAX_BYTES // 1024} KiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{place}: not UTF-8 at byte {error.start}") from None
    if not text.strip():
        raise SettingsError(f"{place}: is empty")
    return text


def _check(template: Template, place: str, allowed: Collection[str]) -> None:
    names = ", ".join(f"${name}" for name in sorted(allowed))
    for found in template.pattern.finditer(template.template):
        line = template.template.count("\n", 0, found.start()) + 1
        name = found.group("named") or found.group("braced")
        if found.group("invalid") is not None:
            raise SettingsError(
                f"{place}: line {line}: $ starts no placeholder; write $$ for a dollar sign "
                f"(placeholders: {names})"
            )
        if name is not None and name not in allowed:
            raise SettingsError(
                f"{place}: unknown placeholder ${name} at line {line} (allowed: {names})"
            )
