"""`paceline` with Redis as hosters set it up: few permissions, cluster mode, wrong passwords."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from paceline.testing.servers import Valkey
from paceline_adapters.redis.errors import ACL

from tests.cli.test_doctor import findings, of
from tests.support.cli_processes import Home, simulator
from tests.support.cli_terminal import Terminal
from tests.support.hosted_redis import (
    ARQ_RULES,
    CELERY_RULES,
    RULES,
    hosted_url,
    redis_cluster,
    redis_for,
)
from tests.support.memory_worker import a_roadmap

OURS = RULES.format(prefix="paceline")
soak = partial(pytest.param, marks=pytest.mark.soak)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty folder."""
    return Home(tmp_path)


@pytest.fixture(autouse=True)
def llm(paceline: Terminal, home: Home) -> Iterator[None]:
    """A simulated LLM for the commands of both kinds."""
    with simulator("--speed", "1000") as server:
        paceline.setenv(OPENAI_BASE_URL=server.base_url)
        home.environment["OPENAI_BASE_URL"] = server.base_url
        yield


def wrong(found: list[dict[str, Any]]) -> dict[str, str]:
    """The texts of the findings that are wrong, by part."""
    return {one["part"]: one["text"] for one in found if one["level"] == "wrong"}


def test_the_rules_are_those_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs/environments.md").read_text("utf-8")
    for rules in (RULES, ARQ_RULES):
        assert f"\n{rules.format(prefix='paceline')}\n" in page
    assert ACL == RULES


def test_doctor_is_content_with_the_documented_rules(paceline: Terminal) -> None:
    arq, celery = ARQ_RULES.format(prefix="paceline"), CELERY_RULES.format(prefix="paceline")
    for executor, rules in (("in-process", OURS), ("arq", f"{OURS} {arq}"), ("celery", celery)):
        with redis_for(rules) as server:
            paceline.setenv(PACELINE_REDIS__URL=hosted_url(server))
            found = findings(paceline, "--executor", executor)
            assert (
                "the user may not ask for its maxmemory-policy" in of("ledger", found, "ok")["text"]
            )


def test_doctor_names_what_celery_needs_beyond_the_rules_of_the_others(paceline: Terminal) -> None:
    with redis_for(OURS) as server:
        paceline.setenv(PACELINE_REDIS__URL=hosted_url(server))
        said = wrong(findings(paceline, "--executor", "celery", code=1))
    assert "its user needs the rule &*" in said["executor celery"]
    assert "p4ssword" not in str(said)


@pytest.mark.parametrize(
    ("rules", "parts"),
    [
        ("~other:* &paceline:* +@all", {"ledger redis", "events redis", "executor arq"}),
        ("~paceline:* &other:* +@all", {"ledger redis", "executor arq"}),
        soak(f"{OURS} -publish", {"ledger redis", "executor arq"}),
        soak(f"{OURS} -@scripting", {"ledger redis", "events redis", "executor arq"}),
        soak(f"{OURS} -xread", {"events redis", "executor arq"}),
        (OURS, {"executor arq"}),
    ],
)
def test_doctor_names_each_part_that_lacks_a_permission(
    paceline: Terminal, rules: str, parts: set[str]
) -> None:
    with redis_for(rules) as server:
        paceline.setenv(PACELINE_REDIS__URL=hosted_url(server))
        said = wrong(findings(paceline, "--executor", "arq", code=1))
    assert set(said) == parts
    for text in said.values():
        assert "the user needs the rules ~<redis.prefix>:*" in text
        assert "p4ssword" not in text


def test_doctor_finds_a_cluster_before_a_key_is_refused(paceline: Terminal) -> None:
    with redis_cluster() as server:
        paceline.setenv(PACELINE_REDIS__URL=server.url)
        said = of("ledger", findings(paceline, code=1), "wrong")
        assert "in cluster mode" in said["text"]
        assert said["fix"].startswith('set redis.prefix = "{paceline}"')
        assert "cluster" in wrong(findings(paceline, "--executor", "arq", code=1))["executor arq"]
        paceline.setenv(PACELINE_REDIS__PREFIX="{paceline}")
        for executor in ("in-process", "arq", "celery"):
            assert not wrong(findings(paceline, "--executor", executor))


@pytest.mark.parametrize("strategy", ["global", "adaptive"])
def test_a_run_ends_at_once_if_redis_rejects_its_password(home: Home, strategy: str) -> None:
    roadmap = home.folder / "roadmap.json"
    roadmap.write_text(a_roadmap(1).to_json())
    with Valkey(password="right") as server:
        home.environment["PACELINE_REDIS__URL"] = server.url.replace("right", "wr0ng")
        done = home.run("run", "roadmap.json", "--strategy", strategy, code=1)
    assert "rejects this process" in done.stderr
    assert "check the user and the password in redis.url" in done.stderr
    assert "wr0ng" not in done.stdout + done.stderr


def test_a_run_needs_no_permission_beyond_the_documented_ones(home: Home) -> None:
    roadmap = home.folder / "roadmap.json"
    roadmap.write_text(a_roadmap(1).to_json())
    with redis_for(OURS) as server:
        home.environment["PACELINE_REDIS__URL"] = hosted_url(server)
        home.run("run", "roadmap.json", "--strategy", "global")
        assert [run["status"] for run in home.json("show")["runs"]] == ["completed"]
