"""Environments as they are: variables of a cluster, empty ones, and those of other programs."""

from pathlib import Path

import pytest
from paceline.errors import SettingsError
from paceline.plugins.registry import Plugins
from paceline.settings.load import Loaded, load_settings
from paceline.settings.model import Settings
from paceline.settings.paths import absolute_url

#: What Kubernetes sets for a service; Docker sets the same without the SERVICE variables.
LINKS = {
    "_SERVICE_HOST": "10.0.0.1",
    "_SERVICE_PORT": "80",
    "_SERVICE_PORT_HTTP": "80",
    "_SERVICE_PORT_METRICS_2": "9090",
    "_PORT": "tcp://10.0.0.1:80",
    "_PORT_80_TCP": "tcp://10.0.0.1:80",
    "_PORT_80_TCP_PROTO": "tcp",
    "_PORT_80_TCP_PORT": "80",
    "_PORT_80_TCP_ADDR": "10.0.0.1",
    "_PORT_53_UDP": "udp://[fd00::1]:53",
    "_PORT_53_UDP_ADDR": "fd00::1",
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(**environ: str) -> Loaded:
    return load_settings(Plugins(), environ=environ)


@pytest.mark.parametrize(
    "service", ["PACELINE", "PACELINE_REDIS", "PACELINE_WEB", "PACELINE_STORE_2", "PACELINE_RUN_A"]
)
def test_service_links_are_no_settings(service: str) -> None:
    loaded = load(**{service + name: value for name, value in LINKS.items()})
    assert not loaded.origins


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PACELINE_PORT", "8080"),
        ("PACELINE_STORE_PORT", "5432"),
        ("PACELINE_SERVICE_HOST", "localhost"),
        ("PACELINE_SERVICE_PORT", "many"),
        ("PACELINE_WEB__PORT", "tcp://10.0.0.1:80"),
        ("PACELINE_STRATEGIES__MINE__SERVICE_PORT", "80"),
        ("PACELINE__PORT", "tcp://10.0.0.1:80"),
        ("PACELINE_PORT_80_TCP_NAME", "tcp"),
    ],
)
def test_what_only_resembles_a_service_link_is_still_checked(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"in environment {name}$"):
        load(**{name: value})


def test_a_misspelled_variable_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match=r"did you mean 'strateg.*PACELINE_STRATEGI$"):
        load(PACELINE_STRATEGI="global", PACELINE_PORT="tcp://10.0.0.1:80")


def test_every_empty_variable_counts_as_not_set() -> None:
    keys = [
        key if not hasattr(field.annotation, "model_fields") else f"{key}__{inner}"
        for key, field in Settings.model_fields.items()
        for inner in getattr(field.annotation, "model_fields", [""])
    ]
    names = [*keys, "store", "strategies__global__limit", "config", "token", "plugins"]
    loaded = load(**{f"PACELINE_{name.upper()}": "" for name in names}, OPENAI_API_KEY="")
    assert not loaded.origins
    assert loaded.settings == Settings()


def test_a_relative_path_in_a_settings_file_is_relative_to_that_file(tmp_path: Path) -> None:
    elsewhere = tmp_path / "100%?"
    elsewhere.mkdir()
    config = elsewhere / "paceline.toml"
    config.write_text('store.url = "sqlite:///my.db"\nprompts.quiz = "quiz.md"\n')
    settings = load_settings(Plugins(), config=config, environ={}).settings
    assert settings.store.url.get_secret_value() == f"sqlite:///{tmp_path}/100%25%3F/my.db"
    assert settings.prompts == {"quiz": elsewhere / "quiz.md"}
    environ = {"PACELINE_CONFIG": str(config), "PACELINE_STORE__URL": "sqlite:///my.db"}
    settings = load_settings(Plugins(), environ=environ).settings
    assert settings.store.url.get_secret_value() == "sqlite:///my.db"


@pytest.mark.parametrize(
    "url", ["sqlite:////var/my.db", "postgresql://me@host/db", "memory:", "sqlite://", "odd"]
)
def test_another_url_in_a_settings_file_stays_as_it_is(tmp_path: Path, url: str) -> None:
    assert absolute_url(url, tmp_path) == url
