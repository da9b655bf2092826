"""Names of files: safe everywhere, and different for different ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline_adapters.sinks.file_names import (
    ARTIFACT_FIELDS,
    MAX_BYTES,
    checked_template,
    file_name,
    safe_name,
)

from tests.sinks.deliveries import an_artifact

HOSTILE = ["..", ".", "", "/etc/passwd", "a/b", "a\\b", "con", "nul.txt", "a" * 500, "é", "e\u0301"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_id_becomes_one_harmless_part_of_a_path(text: str) -> None:
    name = safe_name(text)
    assert "/" not in name
    assert "\\" not in name
    assert not name.startswith(".")
    assert name.rpartition("~")[0]
    assert len(name.encode()) <= MAX_BYTES


@given(st.text(), st.text())
def test_two_ids_never_have_the_same_name_not_even_where_case_is_ignored(a: str, b: str) -> None:
    names = safe_name(a), safe_name(b)
    assert (names[0].lower() == names[1].lower()) == (a == b)
    assert all(0 < len(name.encode()) <= MAX_BYTES for name in names)


def test_an_id_that_differs_in_case_only_has_another_name() -> None:
    assert safe_name("intro") == "intro"
    assert safe_name("Intro").lower() != "intro"
    assert safe_name("01KBXYZ0123456789ABCDEFGHJ") == "01KBXYZ0123456789ABCDEFGHJ"


def test_a_template_names_each_version() -> None:
    template = "{tenant}/{roadmap}/{concept}/{step}/v{version}.md"
    name = file_name(template, an_artifact("a/b", 2))
    assert name == f"default/python/{safe_name('a/b')}/tutorial/v2.md"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("/{concept}/{step}.md", "must be a relative path"),
        ("../{concept}/{step}.md", "must be a relative path"),
        ("{concept}//{step}.md", "must be a relative path"),
        ("{concept}.md", "must contain {id} or {concept} and {step}"),
        ("{concept}/{step}/{title}.md", "got {title}"),
        ("{concept}/{step.__class__}.md", "got {step.__class__}"),
        ("{concept!r}/{step}.md", "must have only the fields"),
        ("{concept}/{step}/v{version:>9}.md", "must have only the fields"),
        ("{concept}/{step}.txt", "must end with .md or .json"),
        ("{concept}/{step", "must have pairs of braces"),
        ("c:\\{concept}\\{step}.md", "must consist of letters"),
    ],
)
def test_a_wrong_template_is_refused_with_what_is_allowed(template: str, says: str) -> None:
    with pytest.raises(ValueError, match="must") as refused:
        checked_template(template, ARTIFACT_FIELDS, required=(("id",), ("concept", "step")))
    assert says in str(refused.value)
