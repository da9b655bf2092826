"""The examples of the documentation run, and it names what there is."""

import ast
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
from paceline import App, Client, FileExporter, parse_roadmap
from paceline.calls import models
from paceline.cli.group import COMMANDS
from paceline.client.exporting.content import read_run
from paceline.plugins import hookspecs
from paceline.plugins.registry import Plugins
from paceline.settings.load import load_settings
from paceline.settings.model import Settings
from paceline.testing.contracts import Contract, ExecutorContract
from paceline.testing.scripted import plain_answer
from paceline.testing.virtual_time import real_time
from paceline_adapters.web.metrics import Metrics
from pydantic import BaseModel

from docs import tables
from tests.support.cli_processes import Simulator, simulator
from tests.support.suite_runs import names_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(DOCS.rglob("*.md")),
]
CONCEPTS = ("variables", "loops")
_MODULE = {
    "module_id": "names",
    "name": "Names and values",
    "concepts": [{"concept_id": name, "name": name} for name in CONCEPTS],
}
ROADMAP = {
    "roadmap_id": "python-basics",
    "title": "Python Basics",
    "stages": [{"stage_id": "start", "name": "Getting started", "modules": [_MODULE]}],
}


#: A block of a plugin begins with a comment: the name of its file.
_FILE = re.compile(r"# (\w+)\.py\n")


def example_plugins() -> dict[str, ModuleType]:
    """The plugins of the documentation, by the names of their files."""
    found: dict[str, ModuleType] = {}
    for page in PAGES:
        for code in re.findall(
            r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            file = _FILE.match(code)
            if file is not None and "@hookimpl" in code:
                found[file[1]] = module = ModuleType(file[1])
                exec(compile(code, f"{file[1]}.py", "exec"), vars(module))
    return found


def plugins_with_examples() -> Plugins:
    """The registry with the plugins of the documentation."""
    plugins = Plugins()
    for name, module in example_plugins().items():
        plugins.register(module, name)
    return plugins


def blocks(language: str) -> list[object]:
    """Every block of a language of every page."""
    block = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(code, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, code in enumerate(block.findall(page.read_text()), 1)
    ]


@pytest.fixture(scope="module")
def llm() -> Iterator[Simulator]:
    """A simulated LLM that answers within a fraction of a second."""
    with simulator("--speed", "500") as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, llm: Simulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of an example: a roadmap, no settings file, and an LLM to call."""
    (tmp_path / "roadmap.json").write_text(json.dumps(ROADMAP))
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PACELINE_PROVIDER__BASE_URL", llm.base_url)
    monkeypatch.setenv("PACELINE_PROVIDER__API_KEY", "any")
    return tmp_path


@pytest.mark.parametrize("code", blocks("python"))
def test_an_example_of_the_documentation_runs(code: str, home: Path) -> None:
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(code, "example", "exec"), names)
    assert names
    for suite in list(names.values()):
        if isinstance(suite, type) and suite.__name__.startswith("Test"):
            assert issubclass(suite, Contract)
            tests = names_of(suite)
            # An executor starts processes in each: the whole of it is run in tests/executors.
            for test in tests[:2] if issubclass(suite, ExecutorContract) else tests:
                getattr(suite(), test)()


def test_the_example_of_the_readme_generates_a_roadmap(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "README.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    exec(compile(code, "README", "exec"), {"__name__": "example"})
    *events, last = capsys.readouterr().out.splitlines()
    assert last == f"completed {3 * len(CONCEPTS)}"
    assert events[-1] == "content_generation_finished 2 2"


@pytest.mark.parametrize("code", blocks("py"))
def test_an_excerpt_of_the_example_executor_is_what_the_example_has(code: str) -> None:
    name = code.partition("\n")[0].removeprefix("# ")
    [file] = (ROOT / "examples" / "paceline_streaq").glob(f"*/**/{name}")
    there = {_without_layout(node) for node in ast.walk(ast.parse(file.read_text()))}
    excerpt = ast.parse(code).body
    assert excerpt
    assert [ast.unparse(node) for node in excerpt if _without_layout(node) not in there] == []


def _without_layout(node: ast.AST) -> str:
    """The code of a node. A formatter may break the lines of an excerpt at other places."""
    return " ".join(ast.unparse(node).split()) if isinstance(node, ast.stmt) else ""


@pytest.mark.parametrize("text", blocks("toml"))
def test_settings_of_the_documentation_are_valid(text: str, tmp_path: Path) -> None:
    if text.startswith(("# pyproject.toml", "# work.toml")):
        assert "[store]" not in text
        return
    file = tmp_path / "paceline.toml"
    tokens = itertools.count()
    file.write_text(re.sub("…", lambda _: f"a-token-of-the-test-{next(tokens)}", text))
    assert load_settings(plugins_with_examples(), config=file, environ={}).origins


@real_time
async def test_the_example_plugins_generate_a_roadmap_together(tmp_path: Path) -> None:
    answers = {name: json.loads(plain_answer(name)) for name in ("tutorial", "resources", "quiz")}
    answers["glossary"] = {"terms": [{"term": "loop", "meaning": "what repeats"}]}
    answers["research"] = {"summary": "It repeats."}
    for name, answer in answers.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(answer))
    settings = Settings.model_validate(
        {
            "strategy": ["one-at-a-time"],
            "executor": "from-store",
            "store": {"url": "mirrored:"},
            "stores": {"mirrored": {"folder": str(tmp_path / "out")}},
            "events": {"bus": "logged"},
            "provider": {"name": "canned"},
            "providers": {"canned": {"folder": str(tmp_path)}},
            "run": {"steps": ["research", "tutorial", "glossary", "resources", "quiz"]},
            "steps": {"glossary": {"checks": ["distinct"]}, "research": {"results": 2}},
            "exporters": {"cards-csv": {"separator": ";"}},
            "resources": {"search": {"requests_per_minute": 60}},
            "sinks": {"one-file": {"path": str(tmp_path / "content.json")}},
        }
    )
    app = App(settings, plugins=plugins_with_examples())
    async with app.worker() as worker:
        client = Client(worker.parts)
        run, _ = await client.submit(parse_roadmap(ROADMAP, source="example"))
        await worker.run(run.run_id)
        ended = await client.store.run(run.run_id)
        assert (ended.status, ended.reason) == ("completed", None)
        exporter = app.factory.exporter("cards-csv")
        assert isinstance(exporter, FileExporter)
        table = await read_run(client.store, app.factory, ended)
        lines = [str(line).strip() async for line in exporter.pieces(table)]
        assert lines[:2] == ["concept;front;back", "variables;loop;what repeats"]
        assert len(lines) == 1 + len(CONCEPTS) * (1 + len(answers["quiz"]["questions"]))
        await worker.couriers.flush(10)
    assert len(json.loads((tmp_path / "content.json").read_text())) == 5 * len(CONCEPTS)
    files = {file.name for file in (tmp_path / "out" / run.run_id).iterdir()}
    assert files == {f"{concept}-{step}.json" for concept in CONCEPTS for step in answers}


def test_each_part_has_an_example_plugin() -> None:
    hooks = {name for module in example_plugins().values() for name in vars(module)}
    for part in (
        "strategies",
        "executors",
        "stores",
        "providers",
        "event_buses",
        "steps",
        "checks",
        "exporters",
        "sinks",
    ):
        assert f"paceline_register_{part}" in hooks


def test_every_section_of_the_settings_has_a_table() -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    sections = [
        name
        for name, field in Settings.model_fields.items()
        if any(
            isinstance(kind, type) and issubclass(kind, BaseModel)
            for kind in (field.annotation, *get_args(field.annotation))
        )
    ]
    assert {"models", "steps", "resources", "store"} <= set(sections)
    assert [name for name in sections if f"generated: settings {name} -->" not in page] == []


def test_the_table_of_fallbacks_is_that_of_the_code() -> None:
    page = (DOCS / "how-to" / "models.md").read_text()
    rows = [line for line in (models.__doc__ or "").splitlines() if line.endswith("is asked")]
    assert len(rows) >= 5
    table = page.partition("| what happened to a call |")[2].partition("\n\n")[0]
    assert len(table.splitlines()) - 2 >= len(rows)


def test_every_hook_is_documented() -> None:
    page = (DOCS / "how-to" / "write-a-plugin.md").read_text()
    hooks = [name for name in vars(hookspecs) if name.startswith("paceline_register_")]
    assert hooks
    assert [name for name in hooks if f"`{name}`" not in page] == []


def test_every_test_of_the_kit_that_is_documented_exists() -> None:
    page = (DOCS / "how-to" / "test-a-plugin.md").read_text()
    kit = ROOT / "core" / "paceline" / "testing" / "contracts"
    source = "".join(file.read_text() for file in kit.rglob("*.py"))
    named = re.findall(r"`(test_\w+)`", page)
    assert named
    assert [name for name in named if f"def {name}(" not in source] == []


def test_every_file_that_the_architecture_names_exists() -> None:
    page = (DOCS / "architecture.md").read_text()
    names = re.findall(r"`((?:core|strategies|adapters|tests|benchmarks)/[\w./]*)`", page)
    assert names
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_every_command_is_in_the_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert [name for name in COMMANDS if f"`{name}`" not in text] == []


def test_every_metric_for_prometheus_is_documented() -> None:
    page = (DOCS / "how-to" / "observe.md").read_text()
    names = [
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in Metrics("USD")._registry.collect()
    ]
    assert names
    assert [name for name in names if f"`{name}" not in page] == []


def test_every_picture_is_shown_and_every_picture_shown_is_there() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in re.findall(r"!\[[^]]*\]\(([^):]+)\)", page.read_text())
    }
    assert shown == set((DOCS / "pictures").glob("*.png"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+\.md)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    assert [page for page in pages if f": {page}\n" not in navigation] == []


def test_a_table_that_is_out_of_date_is_named_and_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Before.\n<!-- begin generated: settings log -->\nold\n<!-- end generated -->\nAfter.\n"
    )
    assert tables.main(["--check"], tmp_path) == 1
    assert "page.md is out of date" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert tables.main([], tmp_path) == 0
    assert page.read_text().startswith("Before.\n<!-- begin")
    assert page.read_text().endswith("end generated -->\nAfter.\n")
    assert "| `format` |" in page.read_text()
    assert tables.main(["--check"], tmp_path) == 0
