"""The command, as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from click.testing import CliRunner
from paceline.contracts.latency_range import LatencyRange
from paceline_adapters.simulator import SimulatorOptions
from paceline_adapters.simulator.command import simulator
from paceline_adapters.simulator.faults import FAULTS
from pydantic import ValidationError

_MAIN = "from paceline_adapters.simulator.command import simulator; simulator()"


@contextmanager
def started(*args: str) -> Generator[subprocess.Popen[str], None, None]:
    with subprocess.Popen(
        [sys.executable, "-c", _MAIN, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_prints_its_address_and_stops_at_a_signal(number: signal.Signals) -> None:
    with started("--port", "0", "--json") as process:
        where = json.loads(line(process))
        assert where["base_url"] == f"http://127.0.0.1:{where['port']}/v1"
        with urlopen(f"http://127.0.0.1:{where['port']}/healthz") as response:
            assert json.load(response) == {"status": "ok"}
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert (out, err) == ("", "")
        assert process.returncode == 128 + number


def test_prints_how_to_use_it_with_paceline() -> None:
    with started("--port", "0") as process:
        first, second = line(process), line(process)
        url = first.removeprefix("Simulator listening on ")
        assert url.startswith("http://127.0.0.1:")
        assert f"PACELINE_PROVIDER__BASE_URL={url}" in second


def test_a_port_in_use_is_one_clear_line() -> None:
    with started("--port", "0", "--json") as first:
        port = json.loads(line(first))["port"]
        with started("--port", str(port)) as second:
            _, err = second.communicate(timeout=20)
            assert second.returncode == 1
            assert err.count("\n") == 1
            assert f"127.0.0.1:{port} is in use" in err


def test_a_log_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    missing = tmp_path / "none" / "log.jsonl"
    result = CliRunner().invoke(simulator, ["--port", "0", "--log", str(missing)])
    assert result.exit_code == 1
    assert result.output == f"Error: {missing}: No such file or directory\n"


def test_help_has_examples_and_does_not_load_the_server() -> None:
    check = (
        "import sys; from paceline_adapters.simulator.command import simulator\n"
        "try: simulator(['--help'])\n"
        "finally: assert not {'aiohttp', 'openai', 'sqlalchemy'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    assert "paceline simulator --speed 100" in result.stdout
    assert all(name in result.stdout for name in FAULTS)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--fault", "fire=1"], "--fault: unknown fault 'fire'; allowed are 429, 500"),
        (["--fault", "500"], "must have the form NAME=RATE"),
        (["--fault", "500=2"], "must be between 0 and 1, got 2"),
        (["--fault", "500=much"], "--fault: Input should be a valid number"),
        (["--fault", "500=0.6", "--fault", "503=0.6"], "must be at most 1, got 1.2"),
        (["--latency", "quiz=fast"], "--latency: a latency must be seconds, such as 5, or a range"),
        (["--latency", "quiz=5-2"], "got 5-2"),
        (["--latency", "quiz=-5"], "a latency must be"),
        (["--speed", "0"], "--speed: Input should be greater than 0"),
        (["--speed", "inf"], "--speed: Input should be a finite number"),
        (["--port", "70000"], "--port: Input should be less than or equal to 65535"),
        (["--rpm", "0"], "--rpm: Input should be greater than or equal to 1"),
        (["--host", "0.0.0.0"], "host 0.0.0.0 can be reached from other machines: set an API key"),
    ],
)
def test_an_error_shows_what_an_option_allows(args: list[str], message: str) -> None:
    result = CliRunner().invoke(simulator, args)
    assert result.exit_code == 2
    assert message in result.output


def test_setting_one_latency_keeps_the_others() -> None:
    options = SimulatorOptions.model_validate({"latency": {"quiz": "1-2.5", "essay": (3, 4)}})
    assert options.latency["quiz"] == LatencyRange(1, 2.5)
    assert options.latency["essay"] == LatencyRange(3, 4)
    assert options.latency["tutorial"] == LatencyRange(20, 30)


def test_an_address_beyond_loopback_requires_a_key() -> None:
    with pytest.raises(ValidationError, match="set an API key"):
        SimulatorOptions(host="0.0.0.0")
    SimulatorOptions.model_validate({"host": "0.0.0.0", "api_key": "secret"})
    SimulatorOptions(host="::1")
