"""Prompt templates in Jinja2: sandboxed, and an unknown name is an error."""

from collections.abc import Mapping

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from paceline.contracts.steps.step import Subject
from paceline.errors import PluginError, SettingsError
from paceline.steps.facts import language_rule
from paceline.text import nearest

#: Maximum number of characters of a prompt: loops in a template multiply its text.
MAX_CHARS = 2**20
#: Names that a template may use.
NAMES = (
    "roadmap",
    "stage",
    "module",
    "concept",
    "prerequisites",
    "earlier",
    "context",
    "language",
    "step",
)


class JinjaPrompt:
    """A prompt template in Jinja2.

    Args:
        source: text of the template.
        place: where it was set, for errors.

    Raises:
        SettingsError: the template is not valid, or uses an unknown name.
    """

    def __init__(self, source: str, place: str) -> None:
        self._place = place
        self.source = source
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        try:
            names = meta.find_undeclared_variables(environment.parse(source))
            self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise SettingsError(f"{place}: line {error.lineno}: {error.message}") from None
        unknown = sorted(names - set(NAMES) - environment.globals.keys())
        if unknown:
            raise SettingsError(
                f"{place}: unknown name {unknown[0]!r}{nearest(unknown[0], list(NAMES))} "
                f"(allowed: {', '.join(NAMES)})"
            )

    def text(self, subject: Subject, values: Mapping[str, str]) -> str:
        """The prompt for one concept.

        Raises:
            PluginError: the template fails for this concept, or its text is too long.
        """
        try:
            text = self._template.render(
                roadmap={"roadmap_id": subject.roadmap_id, "title": subject.roadmap_title},
                stage=subject.stage,
                module=subject.module,
                concept=subject.concept.model_dump(mode="json"),
                prerequisites=list(subject.prerequisites),
                earlier={
                    name: answer.model_dump(mode="json") for name, answer in subject.earlier.items()
                },
                context=subject.context,
                language=language_rule(subject.language),
                step=values["step"],
            )
        except (TemplateError, ArithmeticError, TypeError, ValueError, OverflowError) as error:
            raise PluginError(f"{self._place}: {error}") from None
        if len(text) > MAX_CHARS:
            raise PluginError(
                f"{self._place}: the prompt must not be longer than {MAX_CHARS} characters, "
                f"got {len(text)}"
            )
        return text
