"""The example of a learning-content service, with processes and every executor."""

import json
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from fake_services import FakeLlm, FakeSearch, Log, Services, serving

from tests.support.cli_processes import Home, simulator
from tests.support.eventually import eventually
from tests.support.memory_worker import a_roadmap

#: Seconds that a wait may take on a busy machine.
PATIENCE = 60.0
#: Concepts of the example's roadmap.
CONCEPTS = 3
#: The models of the example, as their APIs name them.
MODELS = {"writer": "gpt-4o", "scout": "gpt-4o-mini", "examiner": "gpt-4.1-mini"}
#: Prices of a million tokens of prompts and answers, as the example's settings name them.
PRICES = {"writer": (2.5, 10.0), "scout": (0.15, 0.6), "examiner": (0.4, 1.6)}


@pytest.fixture
def services() -> Iterator[Services]:
    with serving(FakeLlm(seconds=0.1), FakeSearch(seconds=0.1)) as services:
        yield services


def settled(services: Services) -> bool:
    """Whether nothing reached the services and nothing was answered for a while."""
    return time.monotonic() - max(services.llm.log.last, services.search.log.last) > 1.5


def repeated_only(log: Log, in_flight: Counter[str]) -> bool:
    """Whether each repeated request was in flight at the kill."""
    return not log.repeated() - in_flight


def artifacts_of(home: Home, run_id: str) -> list[dict[str, Any]]:
    """The artifacts of a run with what each cost."""
    return [
        artifact
        for concept in home.json("show", run_id)["concepts"]
        for artifact in home.json("show", run_id, concept["concept_id"])["artifacts"]
    ]


def sql(home: Home, query: str) -> int:
    """A number in the home's database; 0 while there is no database."""
    if not (home.folder / "paceline.db").exists():
        return 0
    with closing(sqlite3.connect(home.folder / "paceline.db", timeout=20)) as database:
        try:
            return int(database.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # its tables are being created
            return 0


def write_roadmap(home: Home, name: str, concepts: int) -> str:
    """Write a roadmap into the home folder; returns its file's name."""
    roadmap = a_roadmap(concepts, name).model_dump(mode="json")
    (home.folder / f"{name}.json").write_text(json.dumps(roadmap))
    return f"{name}.json"


@pytest.mark.parametrize(
    "executor",
    [
        "in-process",
        pytest.param("celery", marks=pytest.mark.soak),
        pytest.param("arq", marks=pytest.mark.soak),
    ],
)
def test_a_killed_worker_repeats_only_the_requests_in_flight(
    executor: str, home: Home, services: Services, redis_url: str
) -> None:
    home.environment |= services.environment
    home.environment |= {"PACELINE_EXECUTOR": executor, "PACELINE_REDIS__URL": redis_url}
    submit = ["submit", "roadmap.yaml", "--context", "learner.yaml"]
    with home.workers() as [worker]:
        run_id = home.json(*submit)["runs"][0]["run_id"]
        eventually(lambda: len(services.search.log.requests) >= 2 * CONCEPTS, PATIENCE)
        services.llm.hold()
        services.search.hold()
        # A worker between two calls soon makes the next one.
        eventually(
            lambda: (
                settled(services)
                and (services.llm.log.in_flight() or services.search.log.in_flight())
            ),
            PATIENCE,
        )
        calls = Counter(services.llm.log.in_flight())
        searches = Counter(services.search.log.in_flight())
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        killed_at = time.monotonic()
    services.llm.release()
    services.search.release()
    with home.workers():
        home.run("watch", run_id)
    assert repeated_only(services.llm.log, calls)
    assert repeated_only(services.search.log, searches)
    # What was in flight may be paid twice. Its cost is estimated from the last heartbeat.
    shown = home.json("show", run_id)
    paid = sum(
        one.answered_at is not None and not one.at < killed_at < one.answered_at
        for one in services.llm.log.requests
    )
    assert paid <= shown["attempts"] <= paid + services.llm.most_at_once


def test_the_sums_of_three_models_are_what_their_servers_counted(
    home: Home, services: Services
) -> None:
    truncating, unsure = FakeLlm(truncates=True), FakeLlm(needs_repair=True)
    with truncating.running(), unsure.running():
        servers = {"writer": truncating, "scout": services.llm, "examiner": unsure}
        home.environment |= services.environment
        for name, server in servers.items():
            home.environment |= {
                f"PACELINE_MODELS__{name.upper()}__BASE_URL": f"{server.base_url}/v1",
                f"PACELINE_MODELS__{name.upper()}__API_KEY": f"sk-{name}",
            }
        report = home.json("run", "roadmap.yaml", "--context", "learner.yaml")
    run_id = report["runs"][0]["run_id"]
    shown = home.json("show", run_id)
    artifacts = artifacts_of(home, run_id)
    used = {name: server.used[MODELS[name]] for name, server in servers.items()}
    for figure in ("attempts", "prompt_tokens", "completion_tokens"):
        counted = sum(getattr(one, figure) for one in used.values())
        assert shown[figure] == sum(one[figure] for one in artifacts) == counted
    cost = sum(
        (one.prompt_tokens * prompt + one.completion_tokens * answer) / 1e6
        for one, (prompt, answer) in ((used[name], PRICES[name]) for name in servers)
    )
    assert shown["cost"] == pytest.approx(cost, abs=1e-5)
    assert sum(one["cost"] for one in artifacts) == pytest.approx(cost, abs=1e-5)
    assert not shown["estimated"]
    assert not any(one["fallback"] for one in artifacts)
    # The tutorial was cut off once, and the quiz lacked a field once.
    rounds = services.llm.rounds + 1
    expected = {"tutorial": rounds + 2, "resources": rounds + 1, "quiz": 2}
    assert {one["step"]: one["attempts"] for one in artifacts} == expected


@pytest.mark.soak
def test_a_run_completes_on_the_other_server_when_one_is_stopped(
    home: Home, services: Services
) -> None:
    concepts = 8
    roadmap = write_roadmap(home, "eight", concepts)
    with ExitStack() as first, simulator("--speed", "10", "--rpm", "240") as second:
        writer = first.enter_context(simulator("--speed", "10", "--rpm", "120"))
        home.environment |= services.environment | {
            "PACELINE_PROVIDER__BASE_URL": second.base_url,
            "PACELINE_MODELS__WRITER__BASE_URL": writer.base_url,
            "PACELINE_MODELS__WRITER__PATIENCE": "2",
            # Each model has a quota of its own; the second server has two models.
            "PACELINE_STRATEGIES__GLOBAL__REQUESTS_PER_MINUTE": "120",
        }
        settings = home.folder / "paceline.toml"  # the simulator invents addresses
        settings.write_text(settings.read_text().replace('checks = ["links"]', "checks = []"))
        with home.started("run", roadmap, "--context", "learner.yaml", name="run") as running:
            saved = "SELECT count(*) FROM artifacts WHERE step = 'tutorial'"
            eventually(lambda: sql(home, saved), PATIENCE)
            refused = writer.figures()["refused"]
            first.close()
            assert running.wait(120) == 0, home.log("run")
        figures = second.figures()
    assert refused == figures["refused"] == 0
    artifacts = artifacts_of(home, "eight")
    assert len(artifacts) == 3 * concepts
    tutorials = [one for one in artifacts if one["step"] == "tutorial"]
    before = [one for one in tutorials if one["model"] == MODELS["writer"]]
    after = [one for one in tutorials if one["model"] == MODELS["scout"]]
    assert before
    assert after
    assert len(before) + len(after) == concepts
    assert {one["fallback"] for one in before} == {None}
    assert all(one["fallback"].startswith("writer: ") for one in after)
    others = [one for one in artifacts if one["step"] != "tutorial"]
    assert {one["fallback"] for one in others} == {None}


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("executor", ["arq", "celery", "in-process"])
def test_four_workers_keep_the_quota_of_the_search_api_together(
    executor: str, home: Home, redis_url: str
) -> None:
    quota, roadmaps, concepts = 100, 4, 4
    search, llm = FakeSearch(per_minute=quota, seconds=0.1), FakeLlm(rounds=4, seconds=0.1)
    files = [write_roadmap(home, f"r{number}", concepts) for number in range(roadmaps)]
    with serving(llm, search) as services:
        home.environment |= services.environment | {
            "PACELINE_EXECUTOR": executor,
            "PACELINE_EXECUTORS__ARQ__MAX_JOBS": "1",
            "PACELINE_EXECUTORS__CELERY__CONCURRENCY": "1",
            "PACELINE_EXECUTORS__IN_PROCESS__CONCURRENCY": "1",
            "PACELINE_REDIS__URL": redis_url,
        }
        home.run("db", "upgrade")
        with home.workers(count=4):
            home.run("submit", *files, "--context", "learner.yaml")
            eventually(lambda: sql(home, "SELECT count(DISTINCT owner) FROM runs") == 4, PATIENCE)
            home.run("watch", *(file.removesuffix(".json") for file in files))
    searches = roadmaps * concepts * 2 * llm.rounds
    assert len(search.log.requests) == searches
    assert searches > quota
    assert search.log.most_in_a_minute() <= quota
    assert search.refused == 0
