"""Settings that switch OpenTelemetry on, and settings that are rejected."""

from pathlib import Path

import pytest
from paceline.errors import SettingsError
from paceline.plugins.registry import Plugins
from paceline.settings.load import load_settings

THEIRS = "OTEL_EXPORTER_OTLP_ENDPOINT"
OURS = "PACELINE_OTEL__ENDPOINT"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_telemetry_is_off_without_an_endpoint() -> None:
    assert load_settings(Plugins(), environ={}).settings.telemetry_kind is None
    for name in (OURS, THEIRS):
        loaded = load_settings(Plugins(), environ={name: "http://collector:4318"})
        assert loaded.settings.telemetry_kind == "otel"


def test_our_setting_overrides_opentelemetrys_variable() -> None:
    loaded = load_settings(Plugins(), environ={THEIRS: "http://a:1", OURS: "http://b:2"})
    assert loaded.settings.otel.endpoint == "http://b:2"


WRONG = [
    "http://me:hunter22@host:1",
    "hunter22:4318",
    "grpc://hunter22:4317",
    "https:///",
    "x",
    "http://[::hunter22",
    "http://hunter22:99999",
]


@pytest.mark.parametrize("url", WRONG)
def test_an_invalid_endpoint_is_rejected_without_quoting_it(url: str) -> None:
    with pytest.raises(SettingsError, match=r"otel\.endpoint must be http") as refused:
        load_settings(Plugins(), environ={OURS: url})
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize("url", WRONG)
def test_an_invalid_variable_of_opentelemetry_is_ignored_without_quoting_it(url: str) -> None:
    loaded = load_settings(Plugins(), environ={THEIRS: url})
    assert loaded.settings.telemetry_kind is None
    (line,) = loaded.ignored
    assert line.startswith(f"{THEIRS} is ignored: it must be http://HOST:PORT")
    assert "hunter22" not in line


def test_an_explicit_endpoint_stays_if_the_variable_is_ignored() -> None:
    loaded = load_settings(Plugins(), environ={THEIRS: "grpc://a:1", OURS: "http://b:2"})
    assert loaded.settings.otel.endpoint == "http://b:2"
