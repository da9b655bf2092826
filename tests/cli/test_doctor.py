"""`paceline doctor`."""

from collections.abc import Iterator
from typing import Any

import pytest
from paceline.contracts.storage.store import Store
from paceline.testing.servers import Postgres

from tests.cli.test_plugins_command import install
from tests.cli.test_status import a_worker
from tests.support.cli_processes import Simulator, simulator
from tests.support.cli_terminal import Terminal
from tests.support.pgbouncer import PgBouncer


@pytest.fixture(scope="module")
def llm() -> Iterator[Simulator]:
    """A simulated LLM."""
    with simulator() as server:
        yield server


@pytest.fixture
def healthy(paceline: Terminal, llm: Simulator) -> Terminal:
    """Settings without any problem."""
    paceline.setenv(OPENAI_BASE_URL=llm.base_url)
    return paceline


def findings(paceline: Terminal, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """The findings of `paceline doctor`."""
    said = paceline("doctor", *arguments, "--json", code=code).json
    assert said["wrong"] == sum(one["level"] == "wrong" for one in said["findings"])
    assert all(bool(one["fix"]) or one["level"] != "warning" for one in said["findings"])
    return list(said["findings"])


def of(part: str, found: list[dict[str, Any]], level: str) -> dict[str, Any]:
    """The one finding of that level on a part."""
    [one] = [one for one in found if one["part"].startswith(part) and one["level"] == level]
    return one


def test_doctor_reports_every_part_as_ok_if_all_is_well(healthy: Terminal) -> None:
    healthy("db", "upgrade")
    said = healthy("doctor")
    assert "0 wrong, 0 warnings" in said.out
    for part in ("store", "provider openai", "strategy", "steps", "times", "connections"):
        assert part in said.out
    assert said.err == ""


def test_doctor_reaches_every_server(healthy: Terminal, postgres_url: str, redis_url: str) -> None:
    healthy.setenv(PACELINE_STORE__URL=postgres_url, PACELINE_REDIS__URL=redis_url)
    assert "paceline db upgrade" in of("store", findings(healthy, code=1), "wrong")["text"]
    healthy("db", "upgrade")
    for executor in ("in-process", "arq", "celery"):
        found = findings(healthy, "--executor", executor)
        assert {one["level"] for one in found} <= {"ok", "warning"}
        assert any("+ 10 reserved = " in one["text"] for one in found), "the sum is shown"


def test_doctor_names_a_pooler(healthy: Terminal, postgres_url: str, pgbouncer: PgBouncer) -> None:
    healthy.setenv(PACELINE_STORE__URL=pgbouncer.through(postgres_url))
    healthy("db", "upgrade")
    found = findings(healthy)
    assert any("a pooler is in front of the server" in one["text"] for one in found)
    assert "no server limits them directly" in of("connections", found, "ok")["text"]


def test_doctor_names_what_would_stop_an_upgrade_or_a_run(
    healthy: Terminal, postgres_url: str, postgres_server: Postgres
) -> None:
    name = postgres_url.rpartition("/")[2]
    healthy.setenv(PACELINE_STORE__URL=postgres_url)
    postgres_server.execute("CREATE TABLE roadmaps (id int)", database=name)
    wrong = of("store", findings(healthy, code=1), "wrong")["text"]
    assert "table roadmaps already exists and is not paceline's: set store.schema_name" in wrong
    healthy.setenv(PACELINE_STORE__SCHEMA_NAME="apart")
    assert "paceline db upgrade" in of("store", findings(healthy, code=1), "wrong")["text"]
    healthy("db", "upgrade")
    assert of("store", findings(healthy), "ok")
    postgres_server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    read_only = of("store", findings(healthy, code=1), "wrong")
    assert "accepts no writes" in read_only["text"]
    assert "target_session_attrs" in read_only["fix"]


def test_doctor_names_an_encoding_that_cannot_store_every_text(
    healthy: Terminal, postgres_server: Postgres
) -> None:
    options = "ENCODING 'LATIN1' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"
    postgres_server.execute(f"CREATE DATABASE latin {options}")
    healthy.setenv(PACELINE_STORE__URL=postgres_server.url_of("latin"))
    assert "its encoding LATIN1" in of("store", findings(healthy, code=1), "wrong")["text"]
    assert "its encoding LATIN1" in healthy("db", "upgrade", code=1).err
    postgres_server.drop_database("latin")


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"PACELINE_STORE__URL": "postgresql://u:hidden-password@127.0.0.1:{}/x"}, "store"),
        ({"PACELINE_REDIS__URL": "redis://:hidden-password@127.0.0.1:{}/0"}, "ledger redis"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:{}/v1"}, "provider openai"),
    ],
)
def test_an_unreachable_part_is_an_error_and_the_others_are_checked(
    healthy: Terminal, closed_port: int, settings: dict[str, str], part: str
) -> None:
    healthy.setenv(**{name: value.format(closed_port) for name, value in settings.items()})
    found = findings(healthy, code=1)
    wrong = of(part, found, "wrong")
    assert str(closed_port) in wrong["text"]
    assert wrong["fix"]
    assert of("steps", found, "ok")
    assert "fix: " in healthy("doctor", code=1).out


def test_a_missing_key_is_an_error_before_any_call(paceline: Terminal) -> None:
    paceline.monkeypatch.delenv("OPENAI_API_KEY")
    found = findings(paceline, code=1)
    assert "OPENAI_API_KEY" in of("provider", found, "wrong")["text"]


def test_a_model_missing_from_the_servers_list_is_a_warning(healthy: Terminal) -> None:
    found = of("provider", findings(healthy, "--set", "provider.model=gpt-nothing"), "warning")
    assert "does not list the model 'gpt-nothing'" in found["text"]
    assert "set provider.model to one that it lists (gpt-4o-mini, " in found["fix"]


def test_a_queue_without_redis_is_an_error(healthy: Terminal) -> None:
    for executor in ("celery", "arq"):
        found = findings(healthy, "--executor", executor, code=1)
        assert "redis.url" in of(f"executor {executor}", found, "wrong")["text"]


def test_every_process_of_a_prefork_pool_counts_with_its_own_connection_pool(
    healthy: Terminal, postgres_url: str, redis_url: str
) -> None:
    healthy.setenv(PACELINE_STORE__URL=postgres_url, PACELINE_REDIS__URL=redis_url)
    healthy("db", "upgrade")
    celery = ("--executor", "celery", "--set", "executors.celery.concurrency=21")
    shrunk = of("connections", findings(healthy, *celery), "warning")
    assert "21 processes × (10 + 20) + 10 reserved = 640" in shrunk["text"]
    refused = findings(healthy, *celery, "--set", "store.budget=refuse", code=1)
    assert of("connections", refused, "wrong")
    threads = findings(healthy, *celery, "--set", "executors.celery.pool=threads")
    assert "1 process × (10 + 20)" in of("connections", threads, "ok")["text"]


def test_a_deadline_beyond_celerys_time_limits_is_an_error_if_they_apply(
    healthy: Terminal, redis_url: str
) -> None:
    healthy.setenv(PACELINE_REDIS__URL=redis_url)
    late = ("--executor", "celery", "--set", "run.deadline=1700")
    found = of("executor celery", findings(healthy, *late, code=1), "wrong")
    assert "run.deadline (1700 s) must be shorter than soft_time_limit (1500 s)" in found["text"]
    findings(healthy, *late, "--set", "executors.celery.pool=threads")


def test_a_shared_limit_in_memory_is_an_error_with_several_workers(
    healthy: Terminal,
) -> None:
    install(healthy, "sharer", SHARER)

    async def two(store: Store) -> None:
        for name in ("one", "two"):
            await store.register(a_worker(name))

    healthy.store(two)
    found = findings(healthy, "--strategy", "everywhere", code=1)
    assert "redis.url" in of("strategy everywhere", found, "wrong")["fix"]


def test_a_lease_that_is_too_short_is_an_error(healthy: Terminal) -> None:
    found = findings(healthy, "--set", "run.lease=1", code=1)
    assert "run.lease" in of("times", found, "wrong")["fix"]


def test_missing_prompt_files_are_an_error(healthy: Terminal) -> None:
    found = findings(healthy, "--set", "prompts.quiz=no-such-file.md", code=1)
    assert "no-such-file.md" in of("steps", found, "wrong")["text"]


def test_the_schema_of_contexts_is_checked(healthy: Terminal) -> None:
    schema = healthy.folder / "schema.json"
    schema.write_text('{"type": "object"}')
    use = ("--set", "run.context_schema=schema.json")
    assert of("context schema", findings(healthy, *use), "ok")
    schema.write_text('{"type": "thing"}')
    assert "type: 'thing'" in of("context schema", findings(healthy, *use, code=1), "wrong")["text"]


def test_a_failing_plugin_is_one_finding_without_its_message(
    healthy: Terminal,
) -> None:
    """The message of a plugin's exception may contain a secret."""
    install(healthy, "failing", FAILING)
    found = findings(healthy, "--executor", "failing", code=1)
    assert of("executor failing", found, "wrong")["text"] == "its plugin failed: RuntimeError"


def test_findings_of_an_executor_are_shown(healthy: Terminal) -> None:
    install(healthy, "finder", FINDER)
    found = findings(healthy, "--executor", "finder", code=1)
    assert of("finder", found, "wrong")["text"] == "first (3 s) must be shorter than second (2 s)"
    assert "said by its check" in [one["text"] for one in found]


SHARER = """
from paceline import NoOptions, Permit, Strategy, hookimpl

class Everywhere(Strategy):
    shared = True
    async def admit(self, work):
        return Permit()

@hookimpl
def paceline_register_strategies(register):
    register("everywhere", lambda o, c: Everywhere(), options=NoOptions, summary="One limit.")
"""

FAILING = """
from paceline import Executor, NoOptions, hookimpl

class Failing(Executor):
    distributed = False
    async def submit(self, run_id): ...
    async def check(self):
        raise RuntimeError("hidden-password")
    def serve(self, *, concurrency=None):
        return 0

@hookimpl
def paceline_register_executors(register):
    register("failing", lambda o, c: Failing(), options=NoOptions, summary="Fails.")
"""

FINDER = """
from paceline import Executor, NoOptions, hookimpl
from paceline.contracts.finding import ascending

class Finder(Executor):
    distributed = False
    async def submit(self, run_id): ...
    async def check(self):
        return "said by its check"
    def findings(self):
        return [ascending("finder", [("first", 3), ("second", 2)])]
    def serve(self, *, concurrency=None):
        return 0

@hookimpl
def paceline_register_executors(register):
    register("finder", lambda o, c: Finder(), options=NoOptions, summary="Finds.")
"""
