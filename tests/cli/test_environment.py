"""Commands in environments that are not as they should be."""

import ctypes
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from paceline_adapters.sql.schema import upgrade
from pydantic import SecretStr

from tests.support.cli_processes import PACELINE
from tests.support.cli_terminal import Terminal, a_roadmap, a_run

ROADMAP_FILE = "roadmap.json"
#: Imports all that the command needs, before it loses the right to read it.
IMPORTS = (
    "import asyncpg, paceline.cli.commands.operate.status, paceline_adapters.sql.store, "
    "paceline_adapters.in_process.executor, paceline_adapters.memory.plugin, "
    "paceline.client.cluster_status;"
)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
@pytest.mark.parametrize(
    "command", [("watch", "--url", "http://127.0.0.1:9"), ("run", "roadmap.json")]
)
def test_a_missing_certificate_is_named_with_its_variable(
    paceline: Terminal, name: str, command: tuple[str, ...]
) -> None:
    paceline("init")
    (paceline.folder / "roadmap.json").write_text(ROADMAP)
    paceline.setenv(**{name: "/missing/ca.pem"})
    assert paceline(*command, code=2).err == (
        f"paceline: error: {name}=/missing/ca.pem cannot be used: No such file or directory\n"
    )


def test_a_file_without_certificates_is_named_too(paceline: Terminal, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    paceline.setenv(SSL_CERT_FILE=str(tmp_path / "ca.pem"))
    told = paceline("watch", "--url", "https://127.0.0.1:9", code=2).err
    assert told.startswith(f"paceline: error: SSL_CERT_FILE={tmp_path}/ca.pem cannot be used: ")


def test_a_bundle_for_the_collector_that_is_missing_stops_no_command(paceline: Terminal) -> None:
    paceline.setenv(
        OTEL_EXPORTER_OTLP_ENDPOINT="https://127.0.0.1:9", REQUESTS_CA_BUNDLE="/missing/ca.pem"
    )
    paceline("db", "upgrade")
    told = paceline("status").err
    assert told.count("\n") == 1
    assert "REQUESTS_CA_BUNDLE=/missing/ca.pem cannot be used: No such file" in told


ROADMAP = """{"roadmap_id": "r", "title": "R", "stages": [{"stage_id": "s", "name": "S", "modules":
[{"module_id": "m", "name": "M", "concepts": [{"concept_id": "c", "name": "C"}]}]}]}"""


@pytest.mark.parametrize("command", [("status",), ("worker",), ("run", ROADMAP_FILE)])
def test_a_deleted_working_folder_is_one_line(
    paceline: Terminal, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "roadmap.json").write_text(ROADMAP)
    gone = tmp_path / "gone"
    gone.mkdir()
    paceline.monkeypatch.chdir(gone)
    gone.rmdir()
    arguments = [str(tmp_path / one) if one == ROADMAP_FILE else one for one in command]
    told = paceline(*arguments, code=2).err
    assert told.count("\n") == 1
    assert "is relative to the working folder, which was deleted" in told


def test_a_command_that_needs_no_folder_works_in_a_deleted_one(
    paceline: Terminal, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    paceline.monkeypatch.chdir(gone)
    gone.rmdir()
    assert "store.url" in paceline("config", "show").out
    url = f"sqlite:///{tmp_path}/kept.db"
    paceline("db", "upgrade", "--set", f"store.url={url}")
    assert "runs: 0 running" in paceline("status", "--set", f"store.url={url}").out


@pytest.mark.skipif(os.getuid() != 0, reason="only root can take another user id")
@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (0o755, "store.url names no user, and the user id 54321 has no name: write postgresql://"),
        (0o700, "paceline.toml: cannot be read: Permission denied"),
    ],
    ids=["no name", "no access to the working folder"],
)
def test_a_user_id_of_a_container_is_one_line(paceline: Terminal, mode: int, told: str) -> None:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(mode)
    # The interpreter may be in a folder that only root can read, so it starts as root.
    code = "import os; os.setuid(54321); from paceline.cli import main; main()"
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        [PACELINE[0], "-c", IMPORTS + code, "status", "--set", "store.url=postgresql://h/d"],
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    folder.rmdir()
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"paceline: error: {told}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("executor", ["in-process", "celery", "arq"])
@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1/0?foo=hidden-password",
        "redis://127.0.0.1:1/0?db=hidden-password",
        "redis://127.0.0.1:1/0?socket_timeout=hidden-password",
        "redis://127.0.0.1:1/0?encoding=hidden-password",
        "rediss://127.0.0.1:1/0?ssl_cert_reqs=hidden-password",
    ],
)
def test_an_odd_parameter_of_the_redis_url_is_one_line(
    paceline: Terminal, url: str, executor: str
) -> None:
    paceline.setenv(PACELINE_REDIS__URL=url, PACELINE_EXECUTOR=executor)
    (paceline.folder / "roadmap.json").write_text(ROADMAP)
    for command in (("submit", "roadmap.json"), ("worker",)):
        told = paceline(*command, code=2).err
        assert told.count("\n") == 1, told
        assert re.search(r"redis\.url( is not valid)?: ", told)


def test_a_database_that_only_another_user_can_write_can_be_read(paceline: Terminal) -> None:
    folder = paceline.folder / "theirs"
    folder.mkdir()
    paceline.setenv(PACELINE_STORE__URL=f"sqlite:///{folder}/content.db")
    paceline.store(lambda store: a_run(store, a_roadmap("r", "a"), "completed"))
    paceline.store(lambda store: a_run(store, a_roadmap("q", "a"), "queued"))
    (folder / "content.db").chmod(0o444)
    folder.chmod(0o555)

    def told(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [*PACELINE, *arguments],
            preexec_fn=obey_permissions,
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    try:
        assert told("status")[0] == 0
        assert "runs: 0 running, 1 queued" in told("status")[1]
        assert "Title of r (r)" in told("show")[1]
        code, line = told("cancel", "q")
        assert code == 1
        assert line == (f"paceline: error: database file {folder}/content.db: it is read-only\n")
        assert [one.name for one in folder.iterdir()] == ["content.db"]
    finally:
        folder.chmod(0o755)


def test_a_home_folder_that_cannot_be_read_counts_as_none(
    tmp_path: Path, postgres_url: str
) -> None:
    upgrade(SecretStr(postgres_url))
    home = tmp_path / "home"
    home.mkdir(mode=0)
    done = subprocess.run(
        [*PACELINE, "status", "--set", f"store.url={postgres_url}"],
        cwd=tmp_path,
        env=os.environ | {"HOME": str(home)},
        preexec_fn=obey_permissions,
        check=False,
        capture_output=True,
        text=True,
    )
    home.chmod(0o700)
    assert (done.returncode, done.stderr) == (0, "")


def obey_permissions() -> None:
    """Make the permissions of files hold for root, too."""
    if os.getuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            assert libc.prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP
