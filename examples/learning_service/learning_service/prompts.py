"""The prompts: Jinja2 templates that see the concept and the learner's profile."""

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from paceline import Message, Subject

_TEMPLATES = SandboxedEnvironment(
    loader=PackageLoader("learning_service", "prompts"),
    undefined=StrictUndefined,  # a typo in a template is an error, not an empty line
    trim_blocks=True,
    lstrip_blocks=True,
)


def prompt(name: str, subject: Subject, **more: object) -> list[Message]:
    """The rules, which are equal for all concepts of a learner, and what this step is asked for.

    Providers cache the beginning of prompts, so the equal part comes first.
    """
    seen = {"subject": subject, "concept": subject.concept, "learner": subject.context, **more}
    rules, task = (_TEMPLATES.get_template(f"{one}.j2").render(seen) for one in ("rules", name))
    return [Message("system", rules), Message("user", task)]
