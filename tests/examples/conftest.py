"""The example's package, installed for processes, and a home folder with its settings."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.cli_processes import Home

EXAMPLE = Path(__file__).parents[2] / "examples" / "learning_service"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder with the example's settings; its commands find the installed example."""
    metadata = tmp_path / "installed" / "learning_service-1.0.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: learning-service\nVersion: 1.0.0\n"
    )
    (metadata / "entry_points.txt").write_text("[paceline]\nlearning-service = learning_service\n")
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("paceline.toml", "learner.yaml", "roadmap.yaml"):
        shutil.copy(EXAMPLE / name, folder)
    return Home(folder, {"PYTHONPATH": f"{EXAMPLE}:{metadata.parent}"}, sys.executable)
