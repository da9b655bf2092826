"""Only the wheel in an empty environment: no extras, no checkout, no server, no key."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.cli_processes import Home, Simulator

ROOT = Path(__file__).parents[2]
ROADMAP = {
    "roadmap_id": "r",
    "title": "R",
    "stages": [
        {
            "stage_id": "s",
            "name": "S",
            "modules": [
                {
                    "module_id": "m",
                    "name": "M",
                    "concepts": [{"concept_id": "c", "name": "Concept"}],
                }
            ],
        }
    ],
}


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with only the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("bare")
    pip = [sys.executable, "-m", "uv", "pip"]
    build = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True)
    [wheel] = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    python = str(folder / "env" / "bin" / "python")
    subprocess.run([*pip, "install", "--quiet", "--python", python, str(wheel)], check=True)
    return python


@pytest.fixture
def home(tmp_path: Path, bare: str) -> Home:
    """A working folder for that Python."""
    return Home(tmp_path, {"HOME": str(tmp_path)}, python=bare)


def test_the_wheel_runs_the_demo(home: Home) -> None:
    done = home.run("demo", "--speed", "20")
    assert done.stdout.count("completed, ") == 8
    assert "Peak: 8 roadmaps active at once" in done.stdout
    assert "Next:" in done.stdout
    assert "pip install 'paceline[web]'" in done.stderr
    [listed] = [json.loads(home.run("show", "--json", "--set", STORE).stdout)["runs"]]
    assert sum(run["completed"] for run in listed) == 227


STORE = "store.url=sqlite:///paceline-demo.db"


@pytest.mark.soak
def test_the_wheel_runs_a_roadmap(home: Home, llm: Simulator) -> None:
    (home.folder / "roadmap.json").write_text(json.dumps(ROADMAP))
    home.environment |= {"OPENAI_BASE_URL": llm.base_url, "OPENAI_API_KEY": "k"}
    assert home.json("run", "roadmap.json")["runs"][0]["status"] == "completed"
    assert (home.folder / "paceline.db").exists()


@pytest.mark.parametrize("executor", ["celery", "arq"])
def test_a_part_that_needs_an_extra_names_it(home: Home, executor: str) -> None:
    (home.folder / "roadmap.json").write_text(json.dumps(ROADMAP))
    home.environment["PACELINE_REDIS__URL"] = "redis://127.0.0.1:1/0"
    told = home.run("submit", "roadmap.json", "--executor", executor, code=2).stderr
    assert f"pip install 'paceline[{executor}]'" in told
    assert executor in home.run("plugins").stdout


@pytest.mark.soak
def test_a_collector_for_all_programs_stops_no_command(home: Home) -> None:
    home.run("db", "upgrade")
    home.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    told = home.run("status").stderr
    assert told.count("\n") == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is ignored: " in told
    assert "pip install 'paceline[otel]'" in told
    told = home.run("status", "--set", "otel.endpoint=http://127.0.0.1:9", code=2).stderr
    assert "pip install 'paceline[otel]'" in told


def test_every_listing_works_without_extras(home: Home) -> None:
    for command in (["--help"], ["plugins"], ["config", "show"], ["--version"], ["run", "--help"]):
        assert home.run(*command).stdout
    assert not list(home.folder.iterdir())
