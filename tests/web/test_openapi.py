"""A fuzzer checks the API against its OpenAPI document."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cli_processes import PACELINE
from tests.support.serve_process import Served, served

#: A valid document may still be refused: ids given twice, a key used for another roadmap, a
#: concept that the run does not have, parameters that exclude each other. No schema says that, so
#: there 422 is as good as 201.
CONFIG = """
[[operations]]
include-name = "POST /api/runs"

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "422"]

[[operations]]
include-name = "POST /api/runs/{run_id}/revisions"

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "422"]

[[operations]]
include-name-regex = "POST /api/controls/.+"

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "422"]

[[operations]]
include-name = "POST /api/runs/{run_id}/resume"

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]
"""

#: Who asks: two tenants, and one who may only read. (That no tenant is shown what is another's
#: has tests of its own: random requests hardly ever name another's run.)
TOKENS = {
    "acme": '{token = "acme-0123456789ab", tenant = "acme"}',
    "rival": '{token = "rival-0123456789a", tenant = "rival"}',
    "reads": '{token = "reads-0123456789a", tenant = "acme", scope = "read"}',
}


def fuzz(folder: Path, server: Served, callers: list[str], *arguments: str) -> str:
    """The output of a fuzzer that sends requests as these callers."""
    config, auth = folder / "schemathesis.toml", folder / "auth.json"
    config.write_text(CONFIG)
    bearers = [
        {
            "name": caller,
            "fixedHeaders": [
                {"name": "Authorization", "value": f"Bearer {TOKENS[caller].split(chr(34))[1]}"}
            ],
        }
        for caller in callers
    ]
    auth.write_text(json.dumps({"schemaVersion": "0.2.0", "auth": bearers}))
    assert PACELINE[0] == sys.executable
    fuzzing = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "st"), "--config-file", str(config)),
            *("run", f"{server.url}/openapi.json", "--checks", "all", "--no-color"),
            *("--auth-wfc", str(auth), "--request-timeout", "1.5", "--workers", "1"),
            *("--suppress-health-check", "all", *arguments),
        ],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
        timeout=800,
    )
    assert fuzzing.returncode == 0, fuzzing.stdout[-6000:] + fuzzing.stderr[-2000:]
    return fuzzing.stdout


@contextmanager
def guarded(folder: Path) -> Iterator[Served]:
    """A server that requires a token and has no rate limit."""
    tokens = f"[{', '.join(TOKENS.values())}]"
    environment = {"PACELINE_WEB__RATE": "100000", "PACELINE_WEB__TOKENS": tokens}
    with served(folder, "--no-worker", **environment) as server:
        yield server


def test_a_sample_of_requests_gets_the_documented_answers(tmp_path: Path) -> None:
    with guarded(tmp_path) as server:
        said = fuzz(
            *(tmp_path, server, ["acme", "rival"]),
            *("--phases", "fuzzing,stateful", "--max-examples", "3", "--generation-deterministic"),
            *("--exclude-path-regex", "/events$"),  # a stream lasts as long as the fuzzer lets it
        )
    cases = re.search(r"(\d+) generated, (\d+) passed", said)
    assert cases is not None, said
    assert int(cases[1]) > 50


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("callers", [["acme", "rival"], ["reads"]], ids=["writing", "reading"])
def test_the_api_follows_its_openapi_document(tmp_path: Path, callers: list[str]) -> None:
    with guarded(tmp_path) as server:
        fuzz(tmp_path, server, callers, "--max-examples", "3", "--generation-database", "none")
