"""Options that are rejected at the start."""

import pytest
from paceline import App
from paceline.errors import SettingsError
from paceline.settings.model import RedisSettings, RunSettings, Settings
from paceline_adapters.arq.options import ArqOptions
from paceline_adapters.arq.queue import Queue
from pydantic import SecretStr, ValidationError

REDIS = RedisSettings(url=SecretStr("redis://:hidden@localhost:6379/0"))


def test_redis_is_required() -> None:
    with pytest.raises(SettingsError, match=r"redis\.url.*PACELINE_REDIS__URL"):
        App(Settings(executor="arq")).factory.executor()


def test_max_jobs_is_the_concurrency() -> None:
    settings = Settings(executor="arq", redis=REDIS, executors={"arq": {"max_jobs": 3}})
    assert App(settings).factory.executor().concurrency == 3


def test_arqs_timeout_must_be_above_the_deadline() -> None:
    settings = Settings(executor="arq", redis=REDIS, run=RunSettings(deadline=1800))
    with pytest.raises(SettingsError, match=r"executors\.arq\.job_timeout.*run\.deadline"):
        App(settings).factory.executor()


@pytest.mark.parametrize(
    "options",
    [
        {"max_jobs": 0},
        {"queue": ""},
        {"queue": "a b"},
        {"job_timeout": float("inf")},
        {"poll_delay": 0},
        {"max_job": 8},
    ],
)
def test_options_are_validated(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ArqOptions.model_validate(options)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://:hidden@localhost",
        "redis://u:hidden@host:hidden/0",
        "redis://:hidden@localhost/?colour=red",
    ],
)
def test_an_invalid_url_is_rejected_without_quoting_it(url: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Queue(RedisSettings(url=SecretStr(url)), "q")
    assert str(raised.value).startswith("redis.url is not valid")
    assert "hidden" not in str(raised.value)
