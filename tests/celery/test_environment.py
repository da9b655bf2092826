"""Variables that Celery itself reads change nothing about our own app."""

import signal

import pytest
from paceline_adapters.celery.app import make_app
from paceline_adapters.celery.options import CeleryOptions

from tests.celery.test_workers import a_worker
from tests.support.celery_home import Rig, a_roadmap, settings_of
from tests.support.eventually import eventually

ELSEWHERE = {
    "CELERY_BROKER_URL": "amqp://127.0.0.1:1",
    "CELERY_BROKER_READ_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_WRITE_URL": "nonsense://",
    "CELERY_RESULT_BACKEND": "nonsense://",
    "CELERY_CONFIG_MODULE": "no_such_module",
    "CELERY_LOADER": "no_such_module:Loader",
}
#: Celery converts these while it is imported, or measures itself.
UNUSABLE = {
    "AUTOSCALE_KEEPALIVE": "often",
    "CELERY_WORKER_REVOKES_MAX": "many",
    "PICKLE_PROTOCOL": "new",
    "CELERY_BENCH": "1",
}


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(ELSEWHERE, id="elsewhere"),
        pytest.param(UNUSABLE, id="unusable", marks=pytest.mark.soak),
    ],
)
def test_a_roadmap_is_generated_whatever_celerys_variables_say(
    rig: Rig, environment: dict[str, str]
) -> None:
    rig.home.environment |= environment
    with a_worker(rig, pool="prefork", concurrency=1) as process:
        file = str(rig.write(a_roadmap("small", 2)))
        assert rig.home.json("run", file)["runs"][0]["status"] == "completed"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    eventually(lambda: rig.inspect() == [] and rig.queued() == 0, 30)


def test_our_app_has_our_configuration(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    app = make_app(CeleryOptions(), settings_of(rig.home), rig.redis_url)
    with app:
        urls = {app.connection_for_read().as_uri(), app.connection_for_write().as_uri()}
        assert urls == {rig.redis_url, app.conf.broker_url}
        assert type(app.backend).__name__ == "DisabledBackend"
