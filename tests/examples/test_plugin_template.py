"""The template for plugins: what it makes is installed, tested and found by the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from copier import run_copy

TEMPLATE = Path(__file__).parents[2] / "templates" / "plugin"
#: The tests to run of the plugin for each kind. An executor starts processes in each test.
KINDS = {
    "strategy": "",
    "executor": "submitted_before or says",
    "step": "",
    "sink": "",
    "provider": "",
}


def command(folder: Path, *arguments: str) -> str:
    """Run a Python module in the folder of an installed plugin; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder / 'src'}:{folder / 'installed'}"},
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(folder: Path, name: str) -> None:
    """Write the metadata that an installation would write, from the plugin's own file."""
    project = (folder / "pyproject.toml").read_text()
    entry_points = project.partition("[project.entry-points.paceline]\n")[2].partition("\n\n")[0]
    metadata = folder / "installed" / "theirs-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    line = entry_points.replace('"', "")
    (metadata / "entry_points.txt").write_text(f"[paceline]\n{line}\n")
    assert line.startswith(f"{name} = ")


def make(folder: Path, **answers: str) -> None:
    """Make a plugin, with the default for each question without an answer."""
    run_copy(str(TEMPLATE), folder, data=answers, defaults=True, quiet=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_of_each_kind_passes_its_tests_and_is_found(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    make(folder, kind=kind, name=f"your-{kind}-2", summary="Does what it's for.")
    install(folder, f"your-{kind}-2")
    chosen = ["-k", KINDS[kind]] if KINDS[kind] else []
    report = command(folder, "pytest", "-q", "-p", "no:cacheprovider", *chosen)
    assert " passed" in report
    shown = command(folder, "paceline", "plugins", "show", f"your-{kind}-2")
    assert "Does what it's for." in shown
    style = ["check", "--isolated", "--select", "E,F,I,W", "--line-length", "100"]
    command(folder, "ruff", *style, "src", "tests")


@pytest.mark.parametrize(
    ("question", "answer"),
    [("name", "Two"), ("name", "1-two"), ("name", "a_b"), ("summary", 'say "hi"'), ("kind", "x")],
)
def test_a_wrong_answer_makes_nothing(question: str, answer: str, tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    with pytest.raises(ValueError, match=question):
        make(folder, **{"kind": "step", question: answer})
    assert not folder.exists()
