"""The examples of the documentation run, and it names what there is."""

import re
from pathlib import Path

import pytest
from paceline.cli.group import COMMANDS
from paceline.plugins import hookspecs
from paceline.testing.contracts import Contract, ExecutorContract
from paceline_adapters.web.metrics import Metrics

from tests.contracts.suites import names_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> list[object]:
    """Every Python block of every page."""
    return [
        pytest.param(code, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, code in enumerate(_PYTHON.findall(page.read_text()), 1)
    ]


@pytest.mark.parametrize("code", examples())
def test_an_example_of_the_documentation_runs(code: str) -> None:
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


def test_every_hook_is_documented() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text()
    hooks = [name for name in vars(hookspecs) if name.startswith("paceline_register_")]
    assert hooks
    assert [name for name in hooks if f"`{name}`" not in page] == []


def test_every_command_is_in_the_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert [name for name in COMMANDS if f"`{name}`" not in text] == []


def test_every_metric_for_prometheus_is_documented() -> None:
    page = (ROOT / "docs" / "observe.md").read_text()
    names = [
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in Metrics()._registry.collect()
    ]
    assert names
    assert [name for name in names if f"`{name}" not in page] == []


def test_every_picture_is_shown_and_every_picture_shown_is_there() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in re.findall(r"!\[[^]]*\]\(([^):]+)\)", page.read_text())
    }
    assert shown == set((ROOT / "docs" / "pictures").glob("*.png"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+\.md)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
