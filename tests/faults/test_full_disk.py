"""A disk that is really full: a small file system that the test enlarges later."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.support.cli_processes import PACELINE, Home, simulator
from tests.support.demo_roadmaps import ROADMAPS
from tests.support.eventually import eventually
from tests.support.worker_processes import PATIENCE

#: Runs a command in a folder on a disk of one megabyte, which grows when `more-space` appears.
SCRIPT = """
set -e
mount -t tmpfs -o size=1m tmpfs disk
(until [ -e more-space ]; do sleep 0.1; done; mount -o remount,size=64m disk) &
cd disk
exec "$@"
"""

#: A mount in a namespace of its own needs no special rights.
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.mark.soak
def test_a_run_on_a_full_disk_waits_and_resumes_when_there_is_space(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with simulator("--speed", "200") as llm:
        environment = {
            "OPENAI_BASE_URL": llm.base_url,
            "OPENAI_API_KEY": "sk-test",
            "PACELINE_RUN__POISON_AFTER": "100",
            "PACELINE_RUN__LEASE": "2",
        }
        home = Home(tmp_path, environment)
        log = tmp_path / "log"
        with log.open("w") as said:
            process = subprocess.Popen(
                [*OWN_MOUNTS, "sh", "-c", SCRIPT, "sh", *PACELINE, "run", str(ROADMAPS[1])],
                cwd=tmp_path,
                env=home.whole(),
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
            )
        try:
            eventually(lambda: "disk is full" in log.read_text(), PATIENCE)
            # Long enough for every writing loop to fail several times.
            full_since = time.monotonic()
            eventually(lambda: time.monotonic() > full_since + 10, PATIENCE)
            told = [line for line in log.read_text().splitlines() if "warning" in line]
            assert told == [
                "paceline: warning: database file paceline.db: the disk is full; "
                "runs wait until it is reachable again"
            ]
            assert process.poll() is None
            (tmp_path / "more-space").touch()
            assert process.wait(PATIENCE) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
        assert "Traceback" not in log.read_text()
