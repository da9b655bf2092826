"""A run's timeline over HTTP: waits, calls and refusals, live and after the end."""

from datetime import datetime
from pathlib import Path
from typing import Any

from paceline.testing.contracts.store.inputs import roadmap
from paceline.testing.virtual_time import real_time

from tests.support.cli_processes import simulator
from tests.support.eventually import eventually_async
from tests.support.web_site import Site, site


async def times(server: Site, run_id: str) -> dict[str, Any]:
    answer = await server.client.get(f"/api/runs/{run_id}/timeline")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@real_time
async def test_a_timeline_shows_waits_and_calls_while_they_happen_and_afterwards(
    tmp_path: Path,
) -> None:
    with simulator("--speed", "8") as llm:
        async with site(
            tmp_path,
            work=True,
            provider={"base_url": llm.base_url, "api_key": "any"},
            strategy=["global"],
            strategies={"global": {"concurrency": 2}},
        ) as server:
            run_id = await server.submitted(roadmap(concepts=4))

            async def open_steps() -> list[dict[str, Any]]:
                found = await times(server, run_id)
                steps = [step for one in found["concepts"] for step in one["steps"]]
                return [step for step in steps if step["open"]]

            async def completed() -> bool:
                run = await server.client.get(f"/api/runs/{run_id}")
                return bool(run.json()["status"] == "completed")

            steps = await eventually_async(open_steps, 60)
            going_on = {phase["kind"] for step in steps for phase in step["phases"]}
            assert going_on <= {"waiting", "calling"}
            await eventually_async(completed, 60)
            found = await times(server, run_id)
    assert [one["concept_id"] for one in found["concepts"]] == ["c0", "c1", "c2", "c3"]
    steps = [step for one in found["concepts"] for step in one["steps"]]
    assert len(steps) == 12
    assert all(step["saved"] and not step["open"] for step in steps)
    kinds = [phase["kind"] for step in steps for phase in step["phases"]]
    assert kinds.count("calling") == 12
    assert "waiting" in kinds, "two calls at once for four concepts"
    for step in steps:
        began, ended = map(datetime.fromisoformat, (step["began_at"], step["ended_at"]))
        took = (ended - began).total_seconds()
        assert abs(took - step["seconds"] - step["saving"]) < 0.01
        assert all(
            phase["start"] + phase["seconds"] <= step["seconds"] + 0.01 for phase in step["phases"]
        )


@real_time
async def test_a_timeline_is_read_in_pages_of_the_roadmaps_order(tmp_path: Path) -> None:
    async with site(tmp_path) as server:
        run_id = await server.submitted(roadmap(concepts=5))
        listed, after = [], None
        for _ in range(3):
            query = {"limit": 2} if after is None else {"limit": 2, "after": after}
            page = (await server.client.get(f"/api/runs/{run_id}/timeline", params=query)).json()
            listed += [one["concept_id"] for one in page["concepts"]]
            after = page["after"]
        assert (listed, after) == (["c0", "c1", "c2", "c3", "c4"], None)
        unknown = await server.client.get(f"/api/runs/{run_id}/timeline?after=c9")
        assert unknown.status_code == 404
