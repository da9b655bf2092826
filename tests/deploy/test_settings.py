"""What `deploy/` sets is accepted by paceline, and its times fit together."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from paceline.cli.group import COMMANDS
from paceline.plugins.built_ins import BUILT_IN_COMMANDS
from paceline.plugins.registry import Plugins
from paceline.settings.load import load_settings
from paceline.settings.model import Settings

from tests.deploy.files import DEPLOY, compose, config_map, env_file, manifest, manifests, unit
from tests.support.serve_process import served

ROOT = DEPLOY.parent
ALL_COMMANDS = {*COMMANDS, *BUILT_IN_COMMANDS}
TOKENS = '[{token = "reads-0123456789ab", scope = "read"}]'
#: What a user writes into `.env`.
SECRETS = {
    "POSTGRES_PASSWORD": "pg-secret",
    "VALKEY_PASSWORD": "valkey-secret",
    "OPENAI_API_KEY": "sk-secret",
    "PACELINE_WEB__TOKENS": TOKENS,
}


def settings_of(config: Path, environment: Mapping[str, str]) -> Settings:
    """The settings of a process, from its file and its environment."""
    return load_settings(Plugins(), config=config, environ=environment).settings


def compose_environment(service: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a service, as compose fills in the variables of `.env`."""

    def filled(text: str) -> str:
        return re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: SECRETS[found[1]], text)

    return {name: filled(str(value)) for name, value in service["environment"].items()}


def seconds(text: str) -> float:
    """A duration of compose or systemd in seconds."""
    return float(text.removesuffix("s"))


def test_the_compose_file_fits_the_specification_of_compose() -> None:
    read = PyCompose.from_yaml(yaml.safe_dump(compose()))
    assert set(read.to_dict()["services"]) == {"postgres", "valkey", "migrate", "web", "worker"}


def test_the_specification_of_compose_rejects_an_unknown_key() -> None:
    changed = compose()
    changed["services"]["web"]["stop_grace_time"] = "40s"
    with pytest.raises(ValueError, match="stop_grace_time"):
        PyCompose.from_yaml(yaml.safe_dump(changed))


@pytest.mark.parametrize("name", ["migrate", "web", "worker"])
def test_paceline_accepts_the_settings_of_the_compose_file(name: str) -> None:
    service = compose()["services"][name]
    found = settings_of(DEPLOY / "compose" / "paceline.toml", compose_environment(service))
    assert found.store_kind == "postgresql"
    assert found.executor == "arq"
    assert seconds(service["stop_grace_period"]) > found.run.grace
    assert service["command"][0] in ALL_COMMANDS


def test_the_published_port_of_the_compose_file_is_on_loopback_and_needs_a_token() -> None:
    services = compose()["services"]
    assert [name for name, one in services.items() if "ports" in one] == ["web"]
    assert services["web"]["ports"] == ["127.0.0.1:8080:8080"]
    found = settings_of(DEPLOY / "compose" / "paceline.toml", compose_environment(services["web"]))
    assert found.web.host == "0.0.0.0"
    assert found.web.tokens


def test_the_example_of_secrets_names_each_variable_of_the_compose_file() -> None:
    text = (DEPLOY / "compose" / "compose.yaml").read_text()
    used = set(re.findall(r"\$\{(\w+):\?", text))
    assert used == set(env_file(DEPLOY / "compose" / "example.env")) == set(SECRETS)


def test_no_secret_has_a_default_in_the_compose_file() -> None:
    text = (DEPLOY / "compose" / "compose.yaml").read_text()
    assert re.findall(r"\$\{\w+(?!\w|:\?)[^}]*\}", text) == []


def test_paceline_accepts_the_settings_of_the_manifests(tmp_path: Path) -> None:
    file = tmp_path / "paceline.toml"
    file.write_text(config_map())
    found = settings_of(file, manifest("Secret", "paceline-secrets")["stringData"])
    assert found.web.tokens
    for kind, name in (("Deployment", "paceline-web"), ("Deployment", "paceline-worker")):
        pod = manifest(kind, name)["spec"]["template"]["spec"]
        [container] = pod["containers"]
        before = container.get("lifecycle", {}).get("preStop", {}).get("exec", {})
        waits = float(before["command"][-1]) if before else 0.0
        assert pod["terminationGracePeriodSeconds"] > found.run.grace + waits
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["args"][0] in ALL_COMMANDS


def test_every_pod_takes_settings_and_secrets_that_exist() -> None:
    for file, one in manifests():
        pod = one.get("spec", {}).get("template", {}).get("spec", {})
        for container in pod.get("containers", []):
            for source in container["envFrom"]:
                assert manifest("Secret", source["secretRef"]["name"]), file
        for volume in pod.get("volumes", []):
            if "configMap" in volume:
                assert manifest("ConfigMap", volume["configMap"]["name"]), file


def test_the_autoscaler_counts_the_concurrency_of_a_worker(tmp_path: Path) -> None:
    scaled = manifest("ScaledObject", "paceline-worker")["spec"]
    assert manifest("Deployment", scaled["scaleTargetRef"]["name"])
    file = tmp_path / "paceline.toml"
    file.write_text(config_map())
    found = settings_of(file, manifest("Secret", "paceline-secrets")["stringData"])
    [trigger] = scaled["triggers"]
    assert trigger["type"] == "prometheus"
    assert int(trigger["metadata"]["threshold"]) == found.executors["arq"]["max_jobs"]


@pytest.mark.parametrize("name", ["paceline-web.service", "paceline-worker@.service"])
def test_systemd_waits_longer_than_the_calls_in_flight_may_take(name: str) -> None:
    example = env_file(DEPLOY / "systemd" / "paceline.env.example")
    found = settings_of(DEPLOY / "compose" / "paceline.toml", example)
    service = unit(name)
    assert seconds(service["TimeoutStopSec"]) > found.run.grace
    assert service["KillSignal"] == "SIGTERM"
    assert service["ExecStart"].split()[1] in ALL_COMMANDS


def dockerfile() -> str:
    """The Dockerfile, with continued lines joined."""
    return (DEPLOY / "docker" / "Dockerfile").read_text().replace("\\\n", " ")


def test_the_dockerfile_copies_what_exists_and_runs_as_a_user_with_a_number() -> None:
    text = dockerfile()
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
        for name in line.split()[:-1]
    ]
    allowed = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text()
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}\n" in allowed
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert text.index("USER 10001") < text.index("ENTRYPOINT")


def test_the_health_check_of_the_image_follows_the_readiness_of_the_server(tmp_path: Path) -> None:
    [check] = re.findall(r"^HEALTHCHECK .*?CMD (\[.*\])$", dockerfile(), re.MULTILINE)
    _, *arguments = yaml.safe_load(check)

    def healthy(port: str) -> bool:
        environment = {**os.environ, "PACELINE_WEB__PORT": port}
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=environment, check=False, capture_output=True)
        return done.returncode == 0

    with served(tmp_path, "--no-worker", token="writes-0123456789") as server:
        port = server.url.rpartition(":")[2].strip("/")
        assert healthy(port)
    assert not healthy(port)
