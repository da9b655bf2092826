"""The files in `deploy/`, checked by the tools and schemas of their own formats."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

DEPLOY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PROMTOOL = os.environ.get("PROMTOOL", "promtool")
#: Manifests of custom resources, and of kubectl itself: their schemas are not Kubernetes' own.
CUSTOM = {"autoscaling.yaml", "kustomization.yaml"}
#: The largest exposure level that systemd-analyze may compute, of 10.
EXPOSURE = 2.0


def run(*command: str | Path, cwd: Path = DEPLOY) -> str:
    """Run a tool that must succeed; its output."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def manifests() -> Iterator[Any]:
    """Every manifest of Kubernetes' own kinds."""
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        if file.name not in CUSTOM:
            for number, one in enumerate(yaml.safe_load_all(file.read_text())):
                yield pytest.param(one, id=f"{file.stem}-{number}")


@pytest.mark.parametrize("manifest", list(manifests()))
def test_a_manifest_fits_the_schema_of_kubernetes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_the_schema_of_kubernetes_rejects_an_unknown_field() -> None:
    [manifest, *_] = yaml.safe_load_all((DEPLOY / "kubernetes" / "worker.yaml").read_text())
    manifest["spec"]["template"]["spec"]["terminationGracePeriod"] = 40
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    run(BIN / "hadolint", "--failure-threshold", "info", "docker/Dockerfile")


def test_promtool_accepts_the_alerts_and_their_unit_tests_pass() -> None:
    assert "SUCCESS" in run(PROMTOOL, "check", "rules", "prometheus/alerts.yaml")
    run(PROMTOOL, "test", "rules", "alerts_test.yaml", cwd=DEPLOY / "prometheus")
    run(PROMTOOL, "check", "config", "--syntax-only", "prometheus/prometheus.yml")


def test_the_unit_tests_of_the_alerts_fail_if_an_alert_does_not_fire(tmp_path: Path) -> None:
    rules = (DEPLOY / "prometheus" / "alerts.yaml").read_text()
    changed = rules.replace("max(paceline_workers) == 0", "max(paceline_workers) < 0")
    assert changed != rules
    (tmp_path / "alerts.yaml").write_text(changed)
    shutil.copy(DEPLOY / "prometheus" / "alerts_test.yaml", tmp_path)
    done = subprocess.run(
        [PROMTOOL, "test", "rules", "alerts_test.yaml"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "PacelineNoWorkers" in done.stdout + done.stderr


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units, as they are installed: their command exists, and templates have an instance."""
    found: list[Path] = []
    for file in sorted((DEPLOY / "systemd").glob("*.service")):
        text = file.read_text().replace("/opt/paceline/bin/paceline", str(BIN / "paceline"))
        found.append(tmp_path / file.name.replace("@.", "@1."))
        (tmp_path / file.name).write_text(text)
        found[-1].write_text(text)
    return found


def test_systemd_accepts_the_units(units: list[Path]) -> None:
    assert len(units) == 3
    assert run("systemd-analyze", "verify", *units) == ""


def test_the_units_of_the_server_and_the_workers_are_hardened(units: list[Path]) -> None:
    for unit in units:
        if "migrate" not in unit.name:
            threshold = f"--threshold={EXPOSURE * 10:g}"
            run("systemd-analyze", "security", "--offline=true", threshold, unit)
