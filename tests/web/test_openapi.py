"""The OpenAPI document, taken at its word by a fuzzer with all its checks."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import PACELINE
from tests.web.serving import TOKEN, served

#: A valid document may still be refused: ids given twice, a key used for another roadmap. No
#: schema says that, so there 422 is as good as 201.
CONFIG = """
[[operations]]
include-name = "POST /api/runs"

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "422"]
"""


@pytest.mark.soak
def test_the_api_is_what_its_document_says(tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    assert PACELINE[0] == sys.executable
    environment = {"PACELINE_WEB__RATE": "100000"}
    with served(tmp_path, "--no-worker", token=TOKEN, **environment) as server:
        fuzzing = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "st"), "--config-file", str(config)),
                *("run", f"{server.url}/openapi.json", "--checks", "all", "--no-color"),
                *("-H", f"Authorization: Bearer {TOKEN}"),
                *("--max-examples", "3", "--request-timeout", "1.5", "--workers", "2"),
                *("--generation-database", "none", "--suppress-health-check", "all"),
            ],
            cwd=tmp_path,
            capture_output=True,
            check=False,
            text=True,
            timeout=220,
        )
    assert fuzzing.returncode == 0, fuzzing.stdout[-6000:] + fuzzing.stderr[-2000:]
