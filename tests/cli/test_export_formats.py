"""`paceline export --format`: exporters of plugins, targets and errors."""

import sys
from pathlib import Path

import pytest
from paceline import Artifact, ConceptState
from paceline.contracts.storage.store import Store

from tests.cli.test_plugins_command import install
from tests.support.cli_terminal import Terminal, a_roadmap, a_run, save

#: Of a plugin: exporters that do what an exporter must not do.
PLUGIN = '''
from paceline import Exporter, FileExporter, FolderExporter, NoOptions, Options, hookimpl


class Width(Options):
    width: int = 80
    """Columns."""


class Plain(FileExporter):
    suffix = ".txt"

    def __init__(self, width):
        self.width = width

    async def pieces(self, run):
        yield f"{self.width}\\n"
        for concept in run.concepts:
            for one in await run.artifacts(concept):
                yield f"{concept.concept.concept_id} {one.artifact.step} {len(one.questions)}\\n"


class Breaks(FileExporter):
    suffix = ".txt"

    async def pieces(self, run):
        yield "half"
        raise ValueError("no more")


class Outside(FolderExporter):
    def names(self, run):
        return ["../outside"]

    async def files(self, run):
        yield "../outside", "text"


class Other(FolderExporter):
    def names(self, run):
        return ["one"]

    async def files(self, run):
        yield "two", "text"


@hookimpl
def paceline_register_exporters(register):
    register("plain", lambda o, c: Plain(o.width), options=Width, summary="Plain text.")
    kinds = {"breaks": Breaks, "outside": Outside, "other": Other, "none": Exporter}
    for name, kind in kinds.items():
        register(name, lambda o, c, kind=kind: kind(), options=NoOptions, summary=name)
'''


@pytest.fixture
def run_id(paceline: Terminal) -> str:
    """A complete run."""
    return paceline.store(lambda store: a_run(store, a_roadmap("r", "a", "b"), "completed")).run_id


@pytest.mark.parametrize("form", ["html", "gift", "qti", "anki"])
def test_each_format_is_written_whole_and_replaces_nothing_unless_forced(
    paceline: Terminal, run_id: str, form: str
) -> None:
    said = paceline("export", run_id, "--format", form, "--to", "out")
    assert "2 concepts written to out" in said.out
    files = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    paceline("export", run_id, "--format", form, "--to", "out", code=2)
    paceline("export", run_id, "--format", form, "--to", "out", "--force")
    assert {path: path.read_bytes() for path in files} == files, "the same bytes"
    assert not list(Path().rglob("*.tmp"))


def test_gift_goes_to_stdout_and_binary_formats_only_if_asked(
    paceline: Terminal, run_id: str
) -> None:
    assert paceline("export", "r", "--format", "gift").out.startswith("$CATEGORY: ")
    said = paceline("export", "r", "--format", "anki", code=2)
    assert "--to is missing: name the file to write, for example --to book.apkg" in said.err
    said = paceline("export", "r", "--format", "html", code=2)
    assert "--to is missing: name the folder to write" in said.err


def test_an_unknown_format_lists_the_allowed_ones(paceline: Terminal, run_id: str) -> None:
    said = paceline("export", "r", "--format", "giff", code=2)
    assert (
        "unknown exporter 'giff': did you mean 'gift'? "
        "(allowed: anki, gift, html, json, markdown, qti)"
    ) in said.err
    assert "[anki|gift|html|json|markdown|qti]" in paceline("export", "--help").out


@pytest.mark.parametrize("form", ["gift", "qti", "anki"])
def test_a_run_without_questions_writes_nothing_and_names_its_steps(
    paceline: Terminal, form: str
) -> None:
    async def without_quiz(store: Store) -> None:
        run, _ = await store.create_run(a_roadmap("r", "a"), executor="in-process")
        claim = await store.claim(run.run_id, "a-worker", lease=30)
        assert claim is not None
        await save(store, claim, "a", "tutorial", "resources")

    paceline.store(without_quiz)
    said = paceline("export", "r", "--format", form, "--to", "out", code=2)
    assert "its content is from the steps tutorial, resources" in said.err
    assert not Path("out").exists()
    assert not list(Path().glob(".*.tmp"))


def test_an_artifact_of_another_version_of_its_step_has_no_questions(paceline: Terminal) -> None:
    async def old_quiz(store: Store) -> None:
        run, _ = await store.create_run(a_roadmap("r", "a", "b"), executor="in-process")
        claim = await store.claim(run.run_id, "a-worker", lease=30)
        assert claim is not None
        await save(store, claim, "a", "quiz")
        old = Artifact(
            concept_id="b",
            step="quiz",
            content='{"old": "form"}',
            model="m",
            prompt_tokens=1,
            completion_tokens=1,
            cost=None,
            seconds=1.0,
            attempts=1,
        )
        await store.save(claim, old, concept=ConceptState(concept_id="b", status="completed"))

    paceline.store(old_quiz)
    assert paceline("export", "r", "--format", "gift").out.count("[html]") == 1


def test_an_exporter_of_a_plugin_has_options_and_is_listed(paceline: Terminal, run_id: str) -> None:
    install(paceline, "mine", PLUGIN)
    said = paceline("export", "r", "--format", "plain", "--set", "exporters.plain.width=7")
    assert said.out.splitlines()[:3] == ["7", "a tutorial 0", "a resources 0"]
    assert "a quiz 1" in said.out
    assert (
        "exporters.plain.width"
        in paceline(
            "export", "r", "--format", "plain", "--set", "exporters.plain.width=x", code=2
        ).err
    )
    shown = paceline("plugins", "show", "plain").out
    assert "[exporters.plain]" in shown
    assert ("exporter", "html") in {
        (row["kind"], row["name"]) for row in paceline("plugins", "--json").json["plugins"]
    }


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ("outside", "Outside: '../outside' must be the name of a file"),
        ("other", "Other: 'two' is missing in names()"),
        ("none", "Exporter must extend FileExporter or FolderExporter"),
    ],
)
def test_an_exporter_that_breaks_the_rules_is_named(
    paceline: Terminal, run_id: str, form: str, fault: str
) -> None:
    install(paceline, "mine", PLUGIN)
    said = paceline("export", "r", "--format", form, "--to", "deep/out", code=2)
    assert fault in said.err
    assert not [path for path in Path("deep").rglob("*") if path.is_file()]


def test_an_exporter_that_fails_leaves_no_half_file(paceline: Terminal, run_id: str) -> None:
    install(paceline, "mine", PLUGIN)
    said = paceline("export", "r", "--format", "breaks", "--to", "out", code=2)
    assert said.err == "paceline: error: exporter 'breaks' failed: ValueError: no more\n"
    assert not Path("out").exists()
    assert not list(Path().glob(".*.tmp"))


def test_a_missing_package_is_named_with_its_extra(
    paceline: Terminal, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith(("paceline_adapters.exporters", "paceline_adapters.markup", "genanki")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nh3", None)
    said = paceline("export", "r", "--format", "html", "--to", "out", code=2)
    assert "exporter 'html' needs nh3, which is not installed: pip install 'paceline[exports]'" in (
        said.err
    )
