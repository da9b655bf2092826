"""Options and messages that are rejected, and the settings of the app."""

import asyncio

import celery
import pytest
from paceline import App
from paceline.errors import PacelineError, PartUnavailable, SettingsError
from paceline.settings.model import RedisSettings, Settings
from paceline_adapters.celery import install
from paceline_adapters.celery.app import add_task
from paceline_adapters.celery.broker_url import broker_url
from paceline_adapters.celery.executor import CeleryExecutor
from paceline_adapters.celery.options import CeleryOptions
from paceline_adapters.celery.runtime import runtime
from paceline_adapters.celery.task import TASK, generate
from pydantic import SecretStr, ValidationError

REDIS = RedisSettings(url=SecretStr("redis://:hidden@127.0.0.1:1/2"), prefix="mine")


def executor(**options: object) -> CeleryExecutor:
    settings = Settings(executor="celery", redis=REDIS, executors={"celery": options})
    made = App(settings).factory.executor()
    assert isinstance(made, CeleryExecutor)
    return made


def test_redis_is_required() -> None:
    with pytest.raises(SettingsError, match=r"redis\.url.*PACELINE_REDIS__URL"):
        App(Settings(executor="celery")).factory.executor()


def test_the_app_has_the_settings_for_long_tasks() -> None:
    conf = executor(concurrency=3).app.conf
    assert conf.task_routes == {TASK: {"queue": "content_generation"}}
    assert conf.worker_concurrency == 3
    assert conf.worker_prefetch_multiplier == 1
    assert (conf.task_soft_time_limit, conf.task_time_limit) == (1500, 1800)
    assert conf.task_acks_late
    assert conf.broker_transport_options["visibility_timeout"] == 3600
    assert conf.broker_transport_options["global_keyprefix"] == "mine:celery:"


def test_messages_are_json_only() -> None:
    conf = executor().app.conf
    assert (conf.task_serializer, conf.result_serializer) == ("json", "json")
    assert conf.accept_content == ["json"]


def test_celerys_environment_variables_do_not_change_our_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://elsewhere:6379/0")
    assert "127.0.0.1:1" in executor().app.connection_for_write().as_uri()


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"pool": "gevent"},
        {"queue": ""},
        {"queue": "a b"},
        {"prefetch_multiplier": 0},
        {"soft_time_limit": 1800},
        {"time_limit": 3600},
        {"app": "no module"},
        {"concurrencies": 1},
    ],
)
def test_options_are_validated(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CeleryOptions.model_validate(options)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("redis://localhost", "redis://localhost/0"),
        ("redis://u:p@h:1/3", "redis://u:p@h:1/3"),
        ("redis://h?db=3&socket_timeout=5", "redis://h/3"),
        ("unix:///run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=3"),
        ("rediss://h/0", "rediss://h/0?ssl_cert_reqs=required&ssl_check_hostname=true"),
        (
            "rediss://h/0?ssl_cert_reqs=none",
            "rediss://h/0?ssl_cert_reqs=none&ssl_check_hostname=false",
        ),
    ],
)
def test_the_broker_url_is_derived_from_redis_url(given: str, expected: str) -> None:
    assert broker_url(RedisSettings(url=SecretStr(given))) == expected


@pytest.mark.parametrize(
    "url", ["", "localhost:6379", "http://:hidden@localhost", "redis://u:hidden@host:hidden/0"]
)
def test_an_invalid_url_is_rejected_without_quoting_it(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^redis\.url is not valid") as raised:
        broker_url(RedisSettings(url=SecretStr(url)))
    assert "hidden" not in str(raised.value)


def test_an_unreachable_broker_is_named_without_its_password() -> None:
    client = executor()
    for call in (client.submit("run"), client.queued(), client.inspect()):
        with pytest.raises(PartUnavailable, match=r"127\.0\.0\.1:1/2 cannot be reached") as raised:
            asyncio.run(call)
        assert "hidden" not in str(raised.value)
    asyncio.run(client.close())


@pytest.mark.parametrize("app", ["no_such_module:app", "json:no_such_name", "json:dumps"])
def test_an_app_that_does_not_exist_is_named(app: str) -> None:
    with pytest.raises(SettingsError, match=rf"executors\.celery\.app='{app}'"):
        executor(app=app)


@pytest.mark.parametrize(
    ("broker", "transport", "level", "last"),
    [
        ("redis://localhost", {"visibility_timeout": 600}, "wrong", "visibility_timeout (600 s)"),
        ("redis://localhost", {}, "ok", "visibility_timeout 3600 s"),
        ("amqp://localhost", {"visibility_timeout": 600}, "ok", "time_limit 1800 s"),
    ],
)
def test_time_limits_are_checked_against_the_broker_in_use(
    monkeypatch: pytest.MonkeyPatch,
    broker: str,
    transport: dict[str, object],
    level: str,
    last: str,
) -> None:
    app = celery.Celery("theirs", broker=broker, set_as_current=False)
    app.conf.broker_transport_options = transport
    add_task(app, CeleryOptions())
    monkeypatch.setattr(runtime, "installed_app", app)
    (found,) = executor().findings()
    assert (found.level, last in found.text) == (level, True)


def test_install_requires_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PACELINE_REDIS__URL", raising=False)
    app = celery.Celery("theirs", set_as_current=False)
    with pytest.raises(SettingsError, match=r"redis\.url"):
        install(app)
    assert TASK not in app.tasks


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((), {}), ((7,), {}), (("../etc",), {}), (("x" * 65,), {}), (("a", "b"), {}), ((), {"a": 1})],
)
def test_a_message_that_names_no_run_is_dropped(
    arguments: tuple[object, ...], named: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    assert generate(*arguments, **named) is None
    assert "dropped a message" in caplog.text


def test_a_worker_not_started_for_roadmaps_rejects_them() -> None:
    with pytest.raises(PacelineError, match="-Q"):
        generate("01kb0000000000000000000000")


def test_options_in_the_environment_reach_the_executor() -> None:
    environ = {
        "PACELINE_EXECUTOR": "celery",
        "PACELINE_REDIS__URL": "redis://localhost",
        "PACELINE_EXECUTORS__CELERY__CONCURRENCY": "4",
    }
    made = App.load(environ=environ).factory.executor()
    assert made.concurrency == 4
