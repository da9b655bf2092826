"""Measures all cells once per session, before the first test of the matrix asks for one."""

import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from paceline.errors import PacelineError
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
        help="What is measured, in the options of `paceline bench`: "
        '--bench "--quick --strategy global".',
    )


def _arguments(config: pytest.Config) -> list[str]:
    """What was asked for; hand-written contestants take part unless others are named."""
    arguments = shlex.split(config.getoption("--bench"))
    asked_for_cells = any(part.startswith(("--strategy", "--executor")) for part in arguments)
    if CONTESTANTS.is_dir() and not asked_for_cells and "--contestants" not in arguments:
        arguments += ["--contestants", str(CONTESTANTS)]
    return arguments


@cache
def _bench(arguments: tuple[str, ...]) -> Bench:
    try:
        asked = parse(arguments)
        return asked.bench(arguments=arguments, keep=FOLDER / RESULTS)
    except PacelineError as error:
        raise pytest.UsageError(f"--bench: {error}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per cell."""
    if "cell" in metafunc.fixturenames:
        bench = _bench(tuple(_arguments(metafunc.config)))
        metafunc.parametrize("cell", [contest.cell.name for contest in bench.prepared_cells])


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Results:
    """Everything measured, by interleaved rounds."""
    bench = _bench(tuple(_arguments(request.config)))
    bench.told = _teller(request.config)
    found = bench.run()
    work = bench.workload
    write_report(found, FOLDER, Constraints(rpm=work.rpm, tpm=work.tpm))
    return found


def _teller(config: pytest.Config) -> Callable[[int, int, str], None] | None:
    """Says on the terminal how far it is: the first test takes as long as all of it."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or capture is None:
        return None

    def told(done: int, total: int, what: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"{done}/{total} {what}".rstrip())

    return told
