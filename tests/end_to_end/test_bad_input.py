"""Wrong input gives one clear line, the right exit code, and leaves nothing half-done."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from paceline.testing.servers import Postgres

from tests.support.cli_processes import Home, Simulator, simulator
from tests.support.demo_roadmaps import ROADMAPS

FILE = str(ROADMAPS[1])


@pytest.fixture
def llm() -> Iterator[Simulator]:
    """A simulated LLM that answers immediately, because no test here depends on time."""
    with simulator("--speed", "200") as server:
        yield server


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A loopback port that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def complaint(home: Home, *arguments: str, code: int) -> str:
    """The stderr of a command that ended with this exit code and printed no secret."""
    done = home.run(*arguments, code=code)
    for secret in ("sk-secret-of-the-test", "hidden-password"):
        assert secret not in done.stdout + done.stderr
    return done.stderr


def test_broken_json_is_reported_with_its_position(home: Home) -> None:
    (home.folder / "broken.json").write_text('{"roadmap_id": "r",\n "title": }')
    told = complaint(home, "run", "broken.json", code=2)
    assert "not valid JSON at line 2, column 11" in told
    assert not (home.folder / "paceline.db").exists()


def test_a_roadmap_of_fifty_megabytes_is_rejected(home: Home) -> None:
    with (home.folder / "huge.json").open("wb") as file:
        file.truncate(50 * 2**20)
    assert "must not be larger than 32 MiB" in complaint(home, "run", "huge.json", code=2)


def test_every_error_of_every_file_is_reported_and_no_run_starts(home: Home) -> None:
    (home.folder / "a.json").write_text('{"roadmap_id": "", "stages": []}')
    (home.folder / "b.json").write_text('{"title": 3}')
    told = complaint(home, "run", FILE, "a.json", "b.json", code=2)
    for fault in (
        "a.json: 3 faults",
        "roadmap_id must ",
        "title is missing",
        "stages must ",
        "b.json:",
    ):
        assert fault in told
    assert not (home.folder / "paceline.db").exists()


def test_an_unknown_setting_is_reported_with_the_nearest_name(home: Home) -> None:
    (home.folder / "paceline.toml").write_text('stratgy = "global"\n')
    told = complaint(home, "run", FILE, code=2)
    assert "stratgy is not a known field: did you mean 'strategy'?" in told
    assert "paceline.toml" in told


@pytest.mark.soak
def test_changed_content_under_a_known_id_is_rejected(home: Home) -> None:
    home.run("run", FILE)
    changed = json.loads(Path(FILE).read_text())
    changed["title"] = "Another"
    (home.folder / "changed.json").write_text(json.dumps(changed))
    assert "--new" in complaint(home, "run", "changed.json", code=2)


@pytest.mark.parametrize("executor", ["celery", "arq"])
def test_an_unreachable_broker_is_a_one_line_error(
    home: Home, closed_port: int, executor: str
) -> None:
    home.environment["PACELINE_REDIS__URL"] = f"redis://:hidden-password@127.0.0.1:{closed_port}/0"
    told = complaint(home, "submit", FILE, "--executor", executor, code=1)
    assert str(closed_port) in told
    assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize("executor", ["celery", "arq"])
def test_a_queue_without_redis_names_the_setting_to_set(home: Home, executor: str) -> None:
    assert "redis.url" in complaint(home, "run", FILE, "--executor", executor, code=2)


def test_a_wrong_database_password_is_a_one_line_error(
    home: Home, postgres_server: Postgres, postgres_url: str
) -> None:
    wrong = postgres_url.replace(f":{postgres_server.password}@", ":hidden-password@")
    home.environment["PACELINE_STORE__URL"] = wrong
    told = complaint(home, "run", FILE, code=1)
    assert "password" in told
    assert len(told.strip().splitlines()) == 1


def test_a_database_without_a_schema_names_the_upgrade_command(
    home: Home, postgres_url: str
) -> None:
    home.environment["PACELINE_STORE__URL"] = postgres_url
    assert "paceline db upgrade" in complaint(home, "run", FILE, code=1)


def test_unusable_answers_fail_the_run_with_the_reason(home: Home) -> None:
    with simulator("--speed", "100", "--fault", "garbage=1") as nonsense:
        home.environment["OPENAI_BASE_URL"] = nonsense.base_url
        report = home.json("run", FILE, code=1)
    [run] = report["runs"]
    assert (run["status"], run["failed"]) == ("failed", 25)
    assert all("malformed answer" in failure["reason"] for failure in run["failures"])


def test_an_unknown_model_is_reported_once_not_per_concept(home: Home, llm: object) -> None:
    [run] = home.json("run", FILE, "--set", "provider.model=gpt-none", code=1)["runs"]
    assert "gpt-none" in run["reason"]
    assert run["failed"] == 0
    home.run("run", FILE)


def test_a_run_with_some_failed_concepts_is_partial(home: Home) -> None:
    with simulator("--speed", "100", "--fault", "refusal=0.05") as moody:
        home.environment["OPENAI_BASE_URL"] = moody.base_url
        report = home.json("run", FILE, code=3)
    [run] = report["runs"]
    assert run["status"] == "partial"
    assert run["completed"] + run["failed"] == 25
