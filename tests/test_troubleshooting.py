"""Every error text that the page on troubleshooting quotes is a text of the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "troubleshooting.md"
PACKAGES = ("core/paceline", "strategies/paceline_strategies", "adapters/paceline_adapters")
#: Values in a text: of an f-string, of `str.format` and of a log line.
_VALUE = re.compile(r"\{\w+\}|%[sd]|%\.\df|…")


def texts() -> Iterator[str]:
    """Every text of the code that is not a docstring, with `…` in the place of values."""
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            tree = ast.parse(file.read_text())
            documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            docstrings = {
                id(node.body[0].value)
                for node in ast.walk(tree)
                if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    parts = (
                        str(part.value) if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    )
                    yield _VALUE.sub("…", "".join(parts))
                elif (
                    isinstance(node, ast.Constant)
                    and isinstance(node.value, str)
                    and id(node) not in docstrings
                ):
                    yield _VALUE.sub("…", node.value)


@pytest.fixture(scope="module")
def known() -> list[str]:
    """Every text of the code."""
    return list(texts())


def is_known(quoted: str, known: list[str]) -> bool:
    """Whether one text of the code has the parts of a quoted one, in order."""
    parts = [re.escape(part.strip()) for part in quoted.split("…") if part.strip()]
    pattern = re.compile(".*".join(parts), re.DOTALL)
    return any(pattern.search(text) for text in known)


def quoted() -> list[str]:
    """The texts that are headings of the page."""
    return re.findall(r"^### `(.*)`$", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("text", quoted())
def test_a_quoted_error_is_a_text_of_the_code(text: str, known: list[str]) -> None:
    assert len(text.replace("…", "")) >= 16, "too short to identify an error"
    assert is_known(text, known)


def test_a_text_that_the_code_does_not_have_is_found(known: list[str]) -> None:
    assert not is_known("the server offers no modell …", known)
    assert not is_known("Every error text that paceline raises on purpose", known)
