"""What is refused before anything is begun."""

import pytest
from paceline.errors import SettingsError
from paceline.plugins.registry import Plugins
from paceline.runtime.parts import make_executor
from paceline.settings.model import RedisSettings, RunSettings, Settings
from paceline_adapters.arq.plugin import ArqOptions
from paceline_adapters.arq.queue import Queue
from pydantic import SecretStr, ValidationError

REDIS = RedisSettings(url=SecretStr("redis://:hidden@localhost:6379/0"))


def test_redis_is_required() -> None:
    with pytest.raises(SettingsError, match=r"redis\.url.*PACELINE_REDIS__URL"):
        make_executor(Settings(executor="arq"), Plugins())


def test_the_options_choose_the_roadmaps_at_once() -> None:
    settings = Settings(executor="arq", redis=REDIS, executors={"arq": {"max_jobs": 3}})
    assert make_executor(settings, Plugins()).concurrency == 3


def test_arqs_own_timeout_must_leave_the_deadline_room() -> None:
    settings = Settings(executor="arq", redis=REDIS, run=RunSettings(deadline=1800))
    with pytest.raises(SettingsError, match=r"executors\.arq\.job_timeout.*run\.deadline"):
        make_executor(settings, Plugins())


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
def test_a_url_that_is_none_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Queue(RedisSettings(url=SecretStr(url)), "q")
    assert str(raised.value).startswith("redis.url is not valid")
    assert "hidden" not in str(raised.value)
