"""Settings of a host's Celery app that conflict with our task, and settings that do not matter."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import kombu
import pytest
from paceline import App
from paceline.doctor.examine import examine
from paceline.errors import SettingsError
from paceline.testing.virtual_time import real_time
from paceline_adapters.celery import install
from paceline_adapters.celery.executor import CeleryExecutor
from paceline_adapters.celery.runtime import runtime

from tests.celery.test_own_app import their_worker
from tests.support.celery_home import Rig
from tests.support.eventually import eventually

QUEUE = "content_generation"
DECLARED = f'kombu.Queue("{QUEUE}", kombu.Exchange("{QUEUE}"), "{QUEUE}")'
DEFAULT = 'kombu.Queue("celery", kombu.Exchange("celery"), "celery")'
FANOUT = kombu.Exchange("all", type="fanout")
#: Settings of an app, what is said about them, and the line that repairs them.
CONFLICTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "pickle": (
        {"accept_content": ["pickle"]},
        "accept_content of your Celery app is ['pickle'], so its workers drop",
        "app.conf.accept_content = ['pickle', 'json']",
    ),
    "nothing": (
        {"accept_content": None},
        "accept_content of your Celery app is None",
        "app.conf.accept_content = ['json']",
    ),
    "no other queues": (
        {"task_create_missing_queues": False},
        f"task_create_missing_queues of your Celery app is False and task_queues lacks {QUEUE}, so",
        f'app.conf.task_queues = [kombu.Queue("celery"), {DECLARED}]',
    ),
    "queue missing from a list": (
        {"task_create_missing_queues": False, "task_queues": [kombu.Queue("mail")]},
        f"task_queues lacks {QUEUE} and celery, so Celery cannot send messages",
        f"app.conf.task_queues = [*app.conf.task_queues, {DECLARED}, {DEFAULT}]",
    ),
    "queue missing from a dict": (
        {"task_create_missing_queues": False, "task_queues": {"mail": {"exchange": "mail"}}},
        f"task_queues lacks {QUEUE} and celery, so Celery cannot send messages",
        f'app.conf.task_queues = {{**app.conf.task_queues, "{QUEUE}": {{"exchange": "{QUEUE}"}}, '
        '"celery": {"exchange": "celery"}}',
    ),
    "default queue missing": (
        {"task_create_missing_queues": False, "task_queues": [kombu.Queue(QUEUE)]},
        "task_queues lacks celery, so Celery cannot send messages",
        f"app.conf.task_queues = [*app.conf.task_queues, {DEFAULT}]",
    ),
    "queue without messages": (
        {"task_queues": [kombu.Queue("mail"), kombu.Queue(QUEUE, FANOUT)]},
        f"gives {QUEUE} an exchange of the type 'fanout'",
        f"app.conf.task_queues = [*(q for q in app.conf.task_queues if q.name not in {(QUEUE,)}), "
        f"{DECLARED}]",
    ),
}
conflicts = pytest.mark.parametrize(
    ("settings", "problem", "line"), CONFLICTS.values(), ids=CONFLICTS.keys()
)


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch, redis_url: str, tmp_path: Path) -> Iterator[Any]:
    """A host's app, and the settings with which `install` finds Redis."""
    monkeypatch.setattr(runtime, "installed_app", None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACELINE_REDIS__URL", redis_url)
    with celery.Celery("theirs", broker=redis_url, set_as_current=False) as app:
        yield app


def the_executor(redis_url: str) -> CeleryExecutor:
    made = the_app(redis_url).factory.executor()
    assert isinstance(made, CeleryExecutor)
    return made


def the_app(redis_url: str) -> App:
    return App.load(environ={"PACELINE_EXECUTOR": "celery", "PACELINE_REDIS__URL": redis_url})


@conflicts
def test_install_refuses_the_setting_with_the_line_that_repairs_it(
    theirs: Any, settings: dict[str, Any], problem: str, line: str
) -> None:
    theirs.conf.update(settings)
    with pytest.raises(SettingsError) as raised:
        install(theirs)
    text = str(raised.value)
    assert (problem in text, text.endswith(f": add {line}"), "\n" in text) == (True, True, False)
    exec(line, {"app": theirs, "kombu": kombu})
    install(theirs)


@conflicts
@real_time
async def test_a_setting_that_changes_after_install_is_found_later(
    theirs: Any, redis_url: str, settings: dict[str, Any], problem: str, line: str
) -> None:
    install(theirs)
    theirs.conf.update(settings)
    wrong = [
        finding for finding in await examine(the_app(redis_url).factory) if finding.level == "wrong"
    ]
    told = [found for found in wrong if found.part == "executor celery" and problem in found.text]
    assert [found.fix for found in told] == [f"add {line}"], wrong
    executor = the_executor(redis_url)
    for use in (lambda: executor.submit("run"), executor.check):
        with pytest.raises(SettingsError, match="add app"):
            await use()
    with pytest.raises(SettingsError, match="add app"):
        executor.serve()


def test_a_worker_of_the_app_does_not_start_with_such_a_setting(rig: Rig) -> None:
    broker = f"{rig.redis_url.rpartition('/')[0]}/0"
    (rig.home.folder / "theirs.py").write_text(
        "import celery\nfrom paceline_adapters.celery import install\n"
        f"app = celery.Celery('theirs', broker={broker!r})\ninstall(app)\n"
        "app.conf.accept_content = ['yaml']\n"
    )
    with their_worker(rig, "-Q", QUEUE, "-P", "threads") as process:
        assert process.wait(30) == 1
    last = (rig.home.folder / "theirs.log").read_text().splitlines()[-1]
    assert "paceline: error: accept_content of your Celery app is ['yaml']" in last


@real_time
async def test_a_broker_in_memory_is_refused_when_it_is_used(theirs: Any, redis_url: str) -> None:
    theirs.conf.broker_url = "memory://"
    install(theirs)
    with pytest.raises(SettingsError, match="broker_url of your Celery app is memory://"):
        await the_executor(redis_url).submit("run")


def test_annotations_for_all_tasks_are_reported(theirs: Any, redis_url: str) -> None:
    theirs.conf.task_annotations = {"*": {"rate_limit": "1/h", "time_limit": 60}}
    install(theirs)
    rate, order = the_executor(redis_url).findings()
    assert (rate.level, "limits paceline.generate to 1/h" in rate.text) == ("warning", True)
    assert (order.level, "time_limit (60 s)" in order.text) == ("wrong", True)


def test_workers_that_read_elsewhere_are_reported(
    theirs: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", redis_url.rpartition("/")[0] + "/0")
    install(theirs)
    found, _ = the_executor(redis_url).findings()
    assert (found.level, "but its workers read from" in found.text) == ("warning", True)


def test_the_line_is_for_the_style_of_the_configuration(theirs: Any) -> None:
    theirs.config_from_object({"CELERY_ACCEPT_CONTENT": ["pickle"]})
    with pytest.raises(SettingsError, match=r"add app\.conf\.accept_content = "):
        install(theirs)
    theirs.conf.accept_content = ["pickle", "json"]
    install(theirs)
    # With a namespace, as in Django, an assignment to `app.conf` has no effect.
    shop: dict[str, Any] = {"SHOP_ACCEPT_CONTENT": ["pickle"]}
    theirs.config_from_object(shop, namespace="SHOP")
    with pytest.raises(SettingsError, match=r"add (SHOP_ACCEPT_CONTENT = .*)$") as raised:
        install(theirs)
    exec(str(raised.value).rpartition("add ")[2], shop)
    theirs.config_from_object(shop, namespace="SHOP")
    install(theirs)


def test_a_default_rate_limit_is_not_for_our_task(theirs: Any, redis_url: str) -> None:
    theirs.conf.task_default_rate_limit = "1/h"
    install(theirs)
    assert [found.level for found in the_executor(redis_url).findings()] == ["ok"]
    assert not theirs.tasks["paceline.generate"].rate_limit


@real_time
async def test_an_app_that_cannot_send_is_one_line(theirs: Any, redis_url: str) -> None:
    theirs.conf.task_compression = "missing"
    install(theirs)
    with pytest.raises(SettingsError, match="cannot exchange messages: KeyError: 'missing'"):
        await the_executor(redis_url).submit("run")


@pytest.mark.parametrize("timeout", ["1h", None])
def test_a_visibility_timeout_that_is_no_number_is_found(
    theirs: Any, redis_url: str, timeout: object
) -> None:
    theirs.conf.broker_transport_options = {"visibility_timeout": timeout}
    install(theirs)
    found, order = the_executor(redis_url).findings()
    assert ("visibility_timeout" in found.text, found.level, order.level) == (True, "wrong", "ok")
    exec(found.fix.removeprefix("add "), {"app": theirs})
    assert [found.level for found in the_executor(redis_url).findings()] == ["ok"]


def test_configuration_that_cannot_be_loaded_yet_does_not_stop_install(theirs: Any) -> None:
    theirs.config_from_object("no_such_module")
    install(theirs)
    theirs.config_from_object({"accept_content": ["application/json"]})
    assert theirs.conf.accept_content == ["application/json"]


def stray(name: str, args: Any, kwargs: Any, options: dict[str, Any], **_: Any) -> None:
    """A router that changes the options of every message."""
    options["queue"] = "elsewhere"


@pytest.mark.parametrize(
    "settings",
    [
        {"accept_content": ["application/json"]},
        {"accept_content": ("pickle", "json")},
        {
            "task_create_missing_queues": False,
            "task_queues": [kombu.Queue(QUEUE), kombu.Queue("celery")],
        },
        {"result_backend": "nonsense://"},
        {"task_routes": {"*": {"queue": "elsewhere"}}},
        {"task_routes": {"*": {"exchange": "elsewhere", "routing_key": "elsewhere"}}},
        {"task_routes": {"*": {"expires": 1}}},
        {"task_routes": (stray,)},
        {"task_default_exchange_type": "fanout"},
        {"task_always_eager": True},
        {"task_serializer": "pickle", "task_protocol": 1},
    ],
    ids=" ".join,
)
@real_time
async def test_other_settings_of_the_app_do_not_divert_our_messages(
    theirs: Any, redis_url: str, settings: dict[str, Any]
) -> None:
    theirs.conf.update(settings)
    install(theirs)
    executor = the_executor(redis_url)
    await executor.submit("run")
    assert await executor.queued() == 1


def test_a_worker_that_lacks_our_task_is_found(rig: Rig) -> None:
    """Its module does not call `install`: Celery would drop the messages that it takes."""
    broker = f"{rig.redis_url.rpartition('/')[0]}/0"
    app = f"import celery\napp = celery.Celery('theirs', broker={broker!r})\n"
    (rig.home.folder / "theirs.py").write_text(app)
    (rig.home.folder / "client.py").write_text(
        "from paceline_adapters.celery import install\nfrom theirs import app\ninstall(app)\n"
    )
    rig.home.environment["PACELINE_EXECUTORS__CELERY__APP"] = "client:app"
    with their_worker(rig, "-Q", QUEUE, "-P", "threads", "-n", "bare@here") as process:
        eventually(lambda: process.poll() is None and "bare@here" in told(rig), 60)
        (line,) = (line for line in told(rig).splitlines() if "bare@here" in line)
    assert line.split()[0] == "wrong"
    assert "has no task paceline.generate" in line


def told(rig: Rig) -> str:
    """What the doctor prints."""
    done = subprocess.run(
        [sys.executable, "-m", "paceline", "doctor"],
        cwd=rig.home.folder,
        env=rig.home.whole(),
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout
