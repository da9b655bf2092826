"""What a command imports before it does anything: the start is what users wait for."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HEAVY = ("asyncio", "pydantic", "pluggy", "rich", "sqlalchemy", "openai", "importlib.metadata")


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_help_imports_no_library_but_click(command: str) -> None:
    program = textwrap.dedent(
        f"""
        import atexit, sys
        sys.argv = ["paceline", {command!r}]
        loaded = lambda: [name for name in {HEAVY!r} if name in sys.modules]
        atexit.register(lambda: print("loaded:", *loaded()))
        from paceline.cli import main
        main()
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("loaded:")]
    allowed = {"importlib.metadata"} if command == "--version" else set[str]()
    assert set(line.split()[1:]) <= allowed


#: What lists of runs do not need.
UNNEEDED = (
    "yaml",
    "psutil",
    "jinja2",
    "jsonschema",
    "openai",
    "alembic",
    "rich",
    "sqlalchemy.dialects.postgresql",
    "paceline.planning.plan",
    "paceline.runtime.worker",
    "paceline.steps.tutorial",
)


@pytest.mark.parametrize("command", ["status", "show"])
def test_a_list_of_runs_imports_nothing_that_it_does_not_need(command: str, tmp_path: Path) -> None:
    paceline = [sys.executable, "-m", "paceline"]
    subprocess.run([*paceline, "db", "upgrade"], check=True, timeout=60, cwd=tmp_path)
    program = textwrap.dedent(
        f"""
        import atexit, sys
        sys.argv = ["paceline", {command!r}]
        loaded = lambda: [name for name in {UNNEEDED!r} if name in sys.modules]
        atexit.register(lambda: print("loaded:", *loaded()))
        from paceline.cli import main
        main()
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]


def test_the_public_module_imports_a_name_when_it_is_used() -> None:
    program = (
        "import sys, paceline; before = 'paceline.app' in sys.modules; "
        "from paceline import App, Roadmap; assert App.load and Roadmap.model_validate; "
        "assert not before and 'App' in dir(paceline); "
        "assert not hasattr(paceline, 'Unknown')"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
