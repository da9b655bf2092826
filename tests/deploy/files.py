"""The files of `deploy/`, read as a user's tools read them."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"


def compose() -> dict[str, Any]:
    """The compose file, with its anchors resolved."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    return found


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every manifest of Kubernetes, with the name of its file."""
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for one in yaml.safe_load_all(file.read_text()):
            yield file.name, one


def manifest(kind: str, name: str) -> dict[str, Any]:
    """One manifest."""
    [found] = [
        one
        for _, one in manifests()
        if one["kind"] == kind and one.get("metadata", {}).get("name") == name
    ]
    return found


def unit(name: str) -> Mapping[str, str]:
    """The keys of a systemd unit's service, without those that occur twice."""
    lines = (DEPLOY / "systemd" / name).read_text().splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def env_file(path: Path) -> Mapping[str, str]:
    """The variables of a file of variables; values may be in single quotes."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    pairs = (line.partition("=") for line in lines)
    return {name: value.removeprefix("'").removesuffix("'") for name, _, value in pairs}


def config_map() -> str:
    """The settings file of the manifests."""
    text: str = manifest("ConfigMap", "paceline-settings")["data"]["paceline.toml"]
    assert tomllib.loads(text)
    return text
