"""Measures all cells once per session, before the first test of the matrix."""

import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from paceline import PacelineError
from paceline_adapters.bench.command import FOLDER, RESULTS, parse
from paceline_adapters.bench.engine import Bench
from paceline_adapters.bench.report import Constraints, write_report
from paceline_adapters.bench.results import Results

CONTESTANTS = Path(__file__).parent / "contestants"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--bench``."""
    parser.addoption(
        "--bench",
        default="",
        metavar="OPTIONS",
        help="What to measure, as options of `paceline bench`: "
        '--bench "--quick --strategy global".',
    )


def _arguments(config: pytest.Config) -> list[str]:
    """The given options; hand-written contestants are added unless cells are given."""
    arguments = shlex.split(config.getoption("--bench"))
    has_cells = any(part.startswith(("--strategy", "--executor")) for part in arguments)
    if CONTESTANTS.is_dir() and not has_cells and "--contestants" not in arguments:
        arguments += ["--contestants", str(CONTESTANTS)]
    return arguments


@cache
def _bench(arguments: tuple[str, ...]) -> Bench:
    try:
        options = parse(arguments)
        return options.bench(arguments=arguments, results_file=FOLDER / RESULTS)
    except PacelineError as error:
        raise pytest.UsageError(f"--bench: {error}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per cell."""
    if "cell" in metafunc.fixturenames:
        bench = _bench(tuple(_arguments(metafunc.config)))
        metafunc.parametrize("cell", [prepared.cell.name for prepared in bench.cells])


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Results:
    """The results of all cells, measured in interleaved rounds."""
    bench = _bench(tuple(_arguments(request.config)))
    bench.on_progress = _progress_reporter(request.config)
    found = bench.run()
    work = bench.workload
    write_report(found, FOLDER, Constraints(rpm=work.rpm, tpm=work.tpm))
    return found


def _progress_reporter(config: pytest.Config) -> Callable[[int, int, str], None] | None:
    """Reports progress on the terminal, because the first test takes as long as all rounds."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or capture is None:
        return None

    def on_progress(done: int, total: int, text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"{done}/{total} {text}".rstrip())

    return on_progress
