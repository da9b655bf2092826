"""Searching and paging runs over HTTP."""

from pathlib import Path

import pytest
from paceline.testing.contracts.store.inputs import roadmap
from paceline.testing.virtual_time import real_time

from tests.support.web_site import Working, site


@real_time
async def test_runs_are_searched_and_paged_with_their_totals(tmp_path: Path) -> None:
    async with site(tmp_path) as server:
        made = [
            await server.submitted(roadmap(f"r{n}", title="Rust" if n % 2 else "Python"))
            for n in range(5)
        ]

        async def listed(query: str) -> tuple[list[str], str | None]:
            answer = await server.client.get(f"/api/runs?{query}")
            assert answer.status_code == 200, answer.text
            page = answer.json()
            return [run["run_id"] for run in page["runs"]], page["before"]

        assert await listed("q=rust") == ([made[3], made[1]], None)
        assert await listed("q=PYTHON&limit=2") == ([made[4], made[2]], made[2])
        assert await listed(f"q=python&limit=2&before={made[2]}") == ([made[0]], None)
        assert await listed("order=oldest&limit=2") == (made[:2], made[1])
        assert (await listed("since=2999-01-01T00:00:00Z"))[0] == []
        assert len((await listed("since=2020-01-01"))[0]) == 5
        worker = await Working.on(server.backend, made[0])
        await worker.complete("c0")
        answer = await server.client.get("/api/runs?status=running&totals=true")
        (run,) = answer.json()["runs"]
        assert (run["artifacts"], run["artifacts_total"], run["currency"]) == (0, 9, "USD")
        one = (await server.client.get(f"/api/runs/{made[0]}")).json()
        assert (one["artifacts"], one["artifacts_total"]) == (0, 9)


@real_time
@pytest.mark.parametrize("query", ["order=best", "since=soon", "q=" + "x" * 201])
async def test_a_wrong_search_is_refused(tmp_path: Path, query: str) -> None:
    async with site(tmp_path) as server:
        assert (await server.client.get(f"/api/runs?{query}")).status_code == 422
