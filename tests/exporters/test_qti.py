"""The exporter `qti`, read and played by Pyslet, another implementation of QTI 2.1."""

import importlib
import io
import warnings
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from paceline import UsageError
from paceline.testing.virtual_time import virtual_time

from tests.support.exported_runs import (
    HOSTILE,
    IDS,
    QUESTIONS,
    exported,
    exporter,
    file_of,
    question,
)

NAMESPACE = "{http://www.imsglobal.org/xsd/imsqti_v2p1}"

# Pyslet is older than this Python, and calls its own old names.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    documents: Any = importlib.import_module("pyslet.qtiv2.xml")
    interactions: Any = importlib.import_module("pyslet.qtiv2.interactions")
    variables: Any = importlib.import_module("pyslet.qtiv2.variables")
    packages: Any = importlib.import_module("pyslet.imscpv1p2")


async def package(*questions: Any) -> bytes:
    run = await exported({"quiz": {"questions": questions or QUESTIONS}})
    return await file_of(exporter("qti"), run)


def files_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


def document(content: bytes) -> Any:
    """The root of a document, as Pyslet reads it."""
    found = documents.QTIDocument()
    found.read(src=io.BytesIO(content))
    return found.root


def played(item: Any, choices: list[str]) -> tuple[float, str | None]:
    """The score and the feedback after these choices."""
    session = variables.ItemSessionState(item)
    session.begin_session()
    single = session["RESPONSE.CORRECT"].cardinality() == variables.Cardinality.single
    session["RESPONSE"].set_value(choices[0] if single else choices)
    session.end_attempt()
    return session["SCORE"].value, session["FEEDBACK"].value


@virtual_time
async def test_another_implementation_scores_right_and_wrong_answers_of_each_question() -> None:
    files = files_of(await package())
    items = [document(files[name]) for name in files if name.startswith("items/")]
    assert len(items) == len(QUESTIONS) * len(IDS)
    for item, asked in zip(items, list(QUESTIONS) * len(IDS), strict=True):
        right = asked["answer"] if isinstance(asked["answer"], list) else [asked["answer"]]
        choices = [
            one.identifier for one in item.find_children_depth_first(interactions.SimpleChoice)
        ]
        assert len(choices) == len(asked["options"])
        [interaction] = item.find_children_depth_first(interactions.ChoiceInteraction)
        assert interaction.maxChoices == (1 if len(right) == 1 else 0), "0 is any number"
        rights = [choices[place] for place in right]
        assert played(item, rights) == (1.0, "EXPLANATION")
        wrongs = [one for one in choices if one not in rights] or rights[:1]
        assert played(item, wrongs) == (0.0, "EXPLANATION")


@virtual_time
async def test_the_manifest_lists_every_file_and_each_test_refers_to_its_items(
    tmp_path: Path,
) -> None:
    content = await package()
    file = tmp_path / "package.zip"
    file.write_bytes(content)
    files = files_of(content)
    found = packages.ContentPackage(str(file))
    try:
        resources = {one.id: one for one in found.manifest.root.Resources.Resource}
        hrefs = {str(one.href) for one in resources.values()}
        assert hrefs == set(files) - {"imsmanifest.xml"}
        tests = [one for one in resources.values() if one.type == "imsqti_test_xmlv2p1"]
        assert len(tests) == 3, "one for each module"
        for one in tests:
            needed = [dependency.identifierref for dependency in one.Dependency]
            root = ET.fromstring(files[str(one.href)])
            refs = [ref.attrib for ref in root.iter(f"{NAMESPACE}assessmentItemRef")]
            assert [ref["identifier"] for ref in refs] == needed
            assert [f"../{resources[key].href}" for key in needed] == [ref["href"] for ref in refs]
    finally:
        found.close()


@virtual_time
async def test_markup_of_a_model_is_text_and_code_keeps_its_lines() -> None:
    files = files_of(
        await package(question(HOSTILE, options=["`a`", "x\ny"]), question("```\na\n\nb\n```"))
    )
    first, second, *_ = (files[name] for name in files if name.startswith("items/"))
    root = ET.fromstring(first)
    assert not list(root.iter(f"{NAMESPACE}script"))
    assert "<script>alert(1)</script>" in "".join(root.itertext())
    assert not [one for one in root.iter() if one.attrib.get("href", "").startswith("java")]
    [code, *_] = ET.fromstring(second).iter(f"{NAMESPACE}pre")
    assert "".join(code.itertext()) == "a\n\nb\n"


@virtual_time
async def test_a_table_without_rows_and_what_qti_does_not_have_are_replaced() -> None:
    [item, *_] = [
        content
        for name, content in files_of(
            await package(question("| a | b |\n|---|---|\n\n[x](https://example.org/)"))
        ).items()
        if name.startswith("items/")
    ]
    root = ET.fromstring(item)
    [table, *_] = root.iter(f"{NAMESPACE}table")
    assert [one.tag for one in table] == [f"{NAMESPACE}tbody"]
    [link, *_] = root.iter(f"{NAMESPACE}a")
    assert link.attrib == {"href": "https://example.org/"}


@virtual_time
async def test_identifiers_depend_on_the_place_of_a_question_and_not_on_its_text() -> None:
    before = files_of(await package(question("Before?"), question("Second?")))
    after = files_of(await package(question("After?"), question("Second?")))
    assert list(before) == list(after)
    assert before != after


@virtual_time
async def test_a_run_without_questions_is_an_error() -> None:
    run = await exported({"cards": {"sides": [["a", "b"]]}})
    with pytest.raises(UsageError, match="has no questions"):
        await file_of(exporter("qti"), run)
