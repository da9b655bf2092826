"""The JSON log: each line is an object with the ids of its subject, and without secrets."""

import json
import logging
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from paceline import log_context
from paceline.client.terminal.json_log import json_lines
from paceline.settings.model import ProviderSettings, RedisSettings, Settings
from pydantic import SecretStr

from tests.support.cli_processes import Home


def lines(text: str) -> list[dict[str, Any]]:
    """Decode each line."""
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_of_a_run_carries_its_id(home: Home, roadmap: str) -> None:
    with home.workers("--log-format", "json"):
        run = home.json("submit", roadmap)["runs"][0]["run_id"]
        home.run("watch", run)
    logged = lines(home.log("worker1"))
    about = [line for line in logged if run in line["event"]]
    assert len(about) >= 2
    assert {line["run_id"] for line in about} == {run}
    assert len({line["worker_id"] for line in about}) == 1
    assert {"timestamp", "level", "logger"} <= about[0].keys()
    assert "sk-very-secret-key" not in home.log("worker1")


@pytest.mark.soak
def test_the_line_of_a_failed_run_has_its_id_and_trace(home: Home, roadmap: str) -> None:
    home.environment |= {
        "PACELINE_PROVIDER__BASE_URL": "http://127.0.0.1:9/v1",
        "PACELINE_PROVIDER__PATIENCE": "0.1",
        "PACELINE_OTEL__ENDPOINT": "http://127.0.0.1:9",
        "PACELINE_LOG__FORMAT": "json",
    }
    with home.workers():
        run = home.json("submit", roadmap)["runs"][0]["run_id"]
        home.run("watch", run, code=None)
    failed = [line for line in lines(home.log("worker1")) if "is failed" in line["event"]]
    assert [line["run_id"] for line in failed] == [run]
    assert all(len(line["trace_id"]) == 32 for line in failed)


def test_notes_and_errors_of_a_command_are_json_too(home: Home, roadmap: str) -> None:
    home.run("run", roadmap)
    (again,) = lines(home.run("run", roadmap, "--log-format", "json").stderr)
    assert again["run_id"] in again["event"]
    wrong = home.run("cancel", "no-such-run", "--log-format", "json", code=None)
    assert [line["level"] for line in lines(wrong.stderr)] == ["error"]


def test_the_line_of_a_library_has_the_ids_of_the_current_task() -> None:
    record = logging.LogRecord("library", logging.WARNING, "f", 1, "slow", (), None)
    log_context.bind(run_id="r", concept_id="c")
    try:
        line = json.loads(json_lines(Settings()).format(record))
    finally:
        log_context.bind(run_id="", concept_id="")
    assert (line["logger"], line["run_id"], line["concept_id"]) == ("library", "r", "c")


words = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=4, max_size=30)


@pytest.mark.parametrize("place", ["message", "argument", "error", "extra"])
@given(key=words, before=st.text(max_size=20), after=st.text(max_size=20))
@example(key="0://0", before="", after="")
def test_no_line_contains_the_secret_wherever_it_was_logged(
    place: str, key: str, before: str, after: str
) -> None:
    assume(key not in str(Settings()) and key not in f"{before}{after}")
    settings = Settings(provider=ProviderSettings(api_key=SecretStr(key)))
    text = f"{before}{key}{after}"
    error = ValueError(text)
    record = logging.LogRecord(
        "library",
        logging.ERROR,
        "f",
        1,
        text.replace("%", "%%") if place == "message" else "text %s",
        () if place == "message" else (text if place == "argument" else "",),
        (ValueError, error, None) if place == "error" else None,
    )
    if place == "extra":
        record.concept_id = text
    line = json.loads(json_lines(settings).format(record))
    ours = {"timestamp", "level", "logger"}
    assert [value for name, value in line.items() if name not in ours and key in value] == []


@given(password=st.from_regex(r"[A-Za-z0-9]{8,20}", fullmatch=True))
def test_no_line_contains_the_password_of_a_url(password: str) -> None:
    url = f"redis://user:{password}@host/0"
    settings = Settings(redis=RedisSettings(url=SecretStr(url)))
    for text in (f"cannot reach {url}", f"password {password} is wrong"):
        record = logging.LogRecord("redis", logging.ERROR, "f", 1, text, (), None)
        assert password not in json.loads(json_lines(settings).format(record))["event"]
