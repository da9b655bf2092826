"""Prompt templates in Jinja2."""

from dataclasses import replace
from pathlib import Path

import pytest
from paceline import PluginError, SettingsError, Step
from paceline.app import App

from tests.support.shipped_steps import SUBJECT

TEMPLATE = """\
You teach {{ module }} of {{ roadmap.title }}.
{% if context.level == "beginner" %}
Use short sentences.
{% endif %}
{% for name in prerequisites %}
The learner knows {{ name }}.
{% endfor %}
{{ concept.name }}: {{ concept.keywords | join(", ") }}
"""


def step(path: Path, text: str, name: str = "tutorial.j2") -> Step:
    file = path / name
    file.write_text(text)
    app = App.load(overrides={"steps.tutorial.prompt": str(file)}, environ={})
    return app.factory.step("tutorial", app.factory.context())


def test_a_template_sees_the_concept_its_surroundings_and_the_context(tmp_path: Path) -> None:
    made = step(tmp_path, TEMPLATE)
    about = replace(SUBJECT, prerequisites=["Names"], context={"level": "beginner"})
    system, user = made.prompt(about)
    assert system.content == (
        f"You teach {about.module} of {about.roadmap_title}.\n"
        "Use short sentences.\n"
        "The learner knows Names.\n"
        f"{about.concept.name}: {', '.join(about.concept.keywords)}"
    )
    assert about.concept.name in user.content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ konzept.name }}", "unknown name 'konzept': did you mean 'concept'?"),
        ("line\n{% if %}", "line 2: "),
        ("  \n", "is empty"),
    ],
)
def test_a_faulty_template_is_refused_when_it_is_loaded(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SettingsError) as error:
        step(tmp_path, text)
    assert message in str(error.value)
    assert "tutorial.j2" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ context.goal }}", "has no attribute 'goal'"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% for n in range(10000000) %}x{% endfor %}", "Range too big"),
        ("{{ 'x' * 2000000 }}", "must not be longer than"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_a_template_that_fails_for_a_concept_names_its_file(
    tmp_path: Path, text: str, message: str
) -> None:
    made = step(tmp_path, text)
    with pytest.raises(PluginError) as error:
        made.prompt(SUBJECT)
    assert message in str(error.value)
    assert "tutorial.j2" in str(error.value)


def test_a_template_with_placeholders_may_be_set_for_a_step_as_well(tmp_path: Path) -> None:
    made = step(tmp_path, "Teach $concept.", "tutorial.md")
    about = SUBJECT
    assert made.prompt(about)[0].content == f"Teach {about.concept.name}."
