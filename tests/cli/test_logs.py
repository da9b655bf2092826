"""``paceline logs``: what happened to the concepts of a real run."""

import re

from paceline.contracts.storage.store import Store

from tests.support.cli_processes import simulator
from tests.support.cli_terminal import HOSTILE, Terminal, a_roadmap, a_run, save


def test_logs_show_waits_calls_refusals_and_repairs_of_a_run(paceline: Terminal) -> None:
    (paceline.folder / "r.json").write_text(a_roadmap("r", "a", "b", "c").to_json())
    faults = ("--fault", "schema-invalid=0.3", "--fault", "429=0.2", "--seed", "3")
    with simulator("--speed", "100", *faults) as provider:
        paceline.setenv(PACELINE_PROVIDER__BASE_URL=provider.base_url)
        limit = ("--set", "strategies.per-roadmap.limit=1", "--set", "provider.backoff=0.01")
        paceline("run", "r.json", *limit, code=3)
        figures = provider.figures()
    shown = paceline("logs", "r").out
    listed = paceline("logs", "r", "--json").json
    assert [one["concept_id"] for one in listed["concepts"]] == ["a", "b", "c"]
    phases = [
        phase["kind"]
        for concept in listed["concepts"]
        for step in concept["steps"]
        for phase in step["phases"]
    ]
    assert phases.count("calling") == figures["paid"]
    assert phases.count("refused") == figures["refused"] > 0
    assert "waiting" in phases, "the strategy admits one concept at a time"
    assert shown.count("call refused because of a quota") == figures["refused"]
    assert "repaired or asked for again" in shown
    assert "led to no artifact" in shown
    assert re.search(r"\d s  saved in ", shown)


def test_logs_of_a_concept_say_why_another_model_was_used(paceline: Terminal) -> None:
    async def fill(store: Store) -> None:
        run = await a_run(store, a_roadmap("r", "a", "b"))
        claim = await store.claim(run.run_id, "a-worker", lease=30)
        assert claim is not None
        await save(store, claim, "a", "quiz", fallback=f"main: no credit {HOSTILE}")

    paceline("db", "upgrade")
    paceline.store(fill)
    shown = paceline("logs", "r", "a").out
    assert shown.splitlines()[1] == "a: completed"
    assert "another model was used: main: no credit" in shown
    assert "b: " not in shown
    assert "has no concept 'x'" in paceline("logs", "r", "x", code=2).err
    assert "no run and no roadmap" in paceline("logs", "unknown", code=2).err
