"""What a forecast rests on: files and past runs."""

import asyncio
from pathlib import Path

import pytest
from paceline import App
from paceline.planning.inputs import GIVEN_LEVEL, UNKNOWN_LEVEL, given
from paceline.planning.workload_file import WorkloadFile, synthetic_roadmap
from paceline.testing.scripted import ScriptedProvider, plain_answer

PROVIDER = """
title = "a scenario"
[provider]
latency = {tutorial = [1, 2]}
answers = {tutorial = [10, 20]}
capacity = 5
"""


def test_without_data_the_documented_defaults_are_used_and_named() -> None:
    found = given()
    assert found.latency_of("tutorial") == (20.0, 30.0)
    assert "documented defaults (no data)" in found.sources[0]
    assert found.latency_level == UNKNOWN_LEVEL


def test_the_provider_of_a_scenario_wins_over_the_workload(tmp_path: Path) -> None:
    model = tmp_path / "scenario.toml"
    model.write_text(PROVIDER)
    work = WorkloadFile(latency={"tutorial": "6-8", "quiz": "4"}, rpm=30, speed=2.0)
    found = given(work, model)
    assert found.latency_of("tutorial") == (1.0, 2.0)
    assert found.latency_of("quiz") == (2.0, 2.0)  # at twice the speed
    assert (found.provider.rpm, found.provider.minute) == (30, 30.0)
    assert found.provider.capacity == 5
    assert found.latency_level == GIVEN_LEVEL


def test_past_runs_tell_tokens_and_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    provider = ScriptedProvider(lambda request, _: (0.0, plain_answer(request.step)))
    app = App(provider=provider)

    async def scenario() -> None:
        async with app.client(work=True) as client:
            run, _ = await client.submit(synthetic_roadmap(1, 4))
            async for event in client.follow(run.run_id):
                if event.stopped:
                    break
        found = await app.plan([synthetic_roadmap(2, 10)], from_runs=True, draws=2)
        assert found.sources[0] == "latencies: 12 artifacts of 1 past run"
        assert found.makespan.median < 5.0  # the answers came at once
        assert any("waits for admission" in one for one in found.unknown)

    asyncio.run(scenario())
