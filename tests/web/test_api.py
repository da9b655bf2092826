"""The answers of the API: runs, concepts, artifacts and problems."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from paceline.contracts.storage.records import RunStatus
from paceline.settings.model import WebSettings
from paceline.testing.virtual_time import real_time

from tests.support.cli_terminal import a_roadmap, a_run, save
from tests.support.web_site import Site, site

PROBLEM = "application/problem+json"


def problem(answer: httpx2.Response, status: int, kind: str) -> str:
    """The detail of a problem of this kind."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body = answer.json()
    assert body["type"] == f"urn:paceline:{kind}"
    assert body["status"] == status
    assert body["title"]
    assert "Traceback" not in answer.text
    return str(body["detail"])


@real_time
async def test_each_post_without_a_key_starts_a_new_run(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        body = a_roadmap("r", "c").to_json()
        first = await here.client.post("/api/runs", content=body)
        second = await here.client.post("/api/runs", content=body)
        assert (first.status_code, second.status_code) == (201, 201)
        ids = [one.json()["run"]["run_id"] for one in (second, first)]
        assert first.headers["location"] == f"/api/runs/{ids[1]}"
        listed = (await here.client.get("/api/runs")).json()
        assert [one["run_id"] for one in listed["runs"]] == ids
        assert listed["before"] is None


@real_time
async def test_an_idempotency_key_stands_for_one_run_of_one_roadmap(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        key = {"Idempotency-Key": "order-1"}
        body = a_roadmap("r", "c").to_json()
        first = await here.client.post("/api/runs", content=body, headers=key)
        again = await here.client.post("/api/runs", content=body, headers=key)
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["submitted"] == "created"
        assert again.json()["submitted"] == "attached"
        assert again.json()["run"] == first.json()["run"]
        other = a_roadmap("r", "c", "d").to_json()
        refused = await here.client.post("/api/runs", content=other, headers=key)
        assert first.json()["run"]["run_id"] in problem(refused, 422, "key-reused")
        assert len((await here.client.get("/api/runs")).json()["runs"]) == 1


@real_time
async def test_an_invalid_roadmap_is_rejected_with_every_fault(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        post = here.client.post
        wrong = json.dumps({"roadmap_id": "r", "title": "", "stages": []})
        refused = await post("/api/runs", content=wrong)
        problem(refused, 422, "roadmap-error")
        assert [fault.split()[0].rstrip(":") for fault in refused.json()["faults"]] == [
            "title",
            "stages",
        ]
        problem(await post("/api/runs", content="{"), 422, "roadmap-error")
        text = {"content-type": "text/plain"}
        unsupported = await post("/api/runs", content="{}", headers=text)
        problem(unsupported, 415, "unsupported-media-type")


@pytest.mark.parametrize("declared", [True, False])
@real_time
async def test_a_body_that_is_too_long_is_rejected(tmp_path: Path, *, declared: bool) -> None:
    async with site(tmp_path, web=WebSettings(max_body=2000)) as here:

        async def chunks() -> AsyncGenerator[bytes, None]:
            for _ in range(3):
                yield b" " * 1000

        body = b" " * 3000 if declared else chunks()
        refused = await here.client.post("/api/runs", content=body)
        problem(refused, 413, "too-large")


@real_time
async def test_runs_can_be_filtered_by_status_and_roadmap_and_paged(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        store = here.backend.store
        statuses: list[RunStatus] = ["completed", "partial", "queued"]
        made = [
            await a_run(store, a_roadmap(f"r{n % 2}", "c", "d"), status)
            for n, status in enumerate(statuses)
        ]

        async def listed(**asked: object) -> list[str]:
            answer = await here.client.get("/api/runs", params=asked)  # type: ignore[arg-type]
            assert answer.status_code == 200, answer.text
            return [one["run_id"] for one in answer.json()["runs"]]

        newest = [one.run_id for one in reversed(made)]
        assert await listed() == newest
        assert await listed(status="partial") == [made[1].run_id]
        assert await listed(status=["partial", "completed"]) == newest[1:]
        assert await listed(roadmap_id="r0") == [newest[0], newest[2]]
        page = (await here.client.get("/api/runs", params={"limit": 2})).json()
        assert page["before"] == newest[1]
        assert await listed(limit=2, before=page["before"]) == newest[2:]
        unknown = await here.client.get("/api/runs", params={"before": "nothing"})
        problem(unknown, 404, "run-not-found")
        wrong = await here.client.get("/api/runs", params={"status": "odd", "limit": 0})
        problem(wrong, 422, "invalid-request")
        assert len(wrong.json()["faults"]) == 2


async def _half_done(here: Site) -> str:
    """A run with two concepts complete, one failed."""
    roadmap = a_roadmap("r", "c0", "c1/with slash", "c2")
    return (await a_run(here.backend.store, roadmap, "partial")).run_id


@real_time
async def test_the_concepts_of_a_run_can_be_paged_and_filtered_by_status(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await _half_done(here)
        one = (await here.client.get(f"/api/runs/{run_id}")).json()
        assert (one["status"], one["completed"], one["failed"]) == ("partial", 2, 1)
        assert (one["prompt_tokens"], one["completion_tokens"]) == (100, 180)
        place = f"/api/runs/{run_id}/concepts"
        page = (await here.client.get(place, params={"limit": 2})).json()
        assert [(c["concept_id"], c["status"], c["steps"]) for c in page["concepts"]] == [
            ("c0", "completed", ["tutorial", "resources", "quiz"]),
            ("c1/with slash", "completed", ["tutorial", "resources", "quiz"]),
        ]
        assert page["concepts"][0] | {"stage_id": "s", "module_id": "first"} == page["concepts"][0]
        rest = await here.client.get(place, params={"limit": 2, "after": page["after"]})
        assert [c["concept_id"] for c in rest.json()["concepts"]] == ["c2"]
        assert rest.json()["after"] is None
        failed = await here.client.get(place, params={"status": "failed"})
        [letter] = failed.json()["concepts"]
        assert letter["concept_id"] == "c2"
        assert letter["reason"].startswith("malformed answer")
        roadmap = (await here.client.get(f"/api/runs/{run_id}/roadmap")).json()
        assert roadmap == json.loads(a_roadmap("r", "c0", "c1/with slash", "c2").to_json())


@real_time
async def test_an_artifact_is_available_as_json_markdown_and_html(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await _half_done(here)
        place = f"/api/runs/{run_id}/concepts/c1%2Fwith%20slash"
        whole = (await here.client.get(place)).json()
        assert [one["step"] for one in whole["artifacts"]] == ["tutorial", "resources", "quiz"]
        listed = (await here.client.get(f"{place}/artifacts")).json()
        assert listed["artifacts"] == whole["artifacts"]
        tutorial = f"{place}/artifacts/tutorial"
        plain = await here.client.get(tutorial)
        assert plain.json() == whole["artifacts"][0]
        for answer in (
            await here.client.get(f"{tutorial}.md"),
            await here.client.get(tutorial, headers={"accept": "text/markdown"}),
        ):
            assert answer.headers["content-type"].startswith("text/markdown")
            assert answer.text.startswith("## Tutorial")
        html = await here.client.get(f"{tutorial}.html")
        assert html.headers["content-type"].startswith("text/html")
        assert html.text.startswith("<h2>Tutorial")
        quiz, answers = (await here.client.get(f"{place}/artifacts/quiz.md")).text.split(
            "## Answers"
        )
        assert "(B) that" in quiz
        assert "Because." not in quiz
        assert "(A)" not in answers
        assert "*Why:* Because." in answers
        assert "script-src" not in html.headers["content-security-policy"]
        refused = await here.client.get(tutorial, headers={"accept": "image/png"})
        problem(refused, 406, "not-acceptable")
        for gone, kind in (
            (f"{place}/artifacts/nothing", "artifact-not-found"),
            (f"/api/runs/{run_id}/concepts/none", "concept-not-found"),
            (f"/api/runs/{run_id}/concepts/none/artifacts", "concept-not-found"),
            ("/api/runs/none/concepts", "run-not-found"),
        ):
            problem(await here.client.get(gone), 404, kind)


@real_time
async def test_runs_are_cancelled_and_resumed(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        post = here.client.post
        waiting = await here.submitted(a_roadmap("waits", "c"))
        problem(await post(f"/api/runs/{waiting}/retry"), 409, "nothing-to-resume")
        cancelled = (await post(f"/api/runs/{waiting}/cancel")).json()["run"]
        assert cancelled["status"] == "cancelled"
        resumed = (await post(f"/api/runs/{waiting}/resume")).json()
        assert (resumed["submitted"], resumed["run"]["status"]) == ("resumed", "queued")
        early = await post(f"/api/runs/{waiting}/resume", params={"only": "failed"})
        problem(early, 409, "nothing-to-resume")
        failures = await _half_done(here)
        none = await post(f"/api/runs/{failures}/resume", params={"only": "missing"})
        problem(none, 409, "nothing-to-resume")
        again = (await post(f"/api/runs/{failures}/resume", params={"only": "failed"})).json()
        assert (again["submitted"], again["run"]["status"]) == ("resumed", "queued")
        assert [one["concept_id"] for one in again["dead_letters"]] == ["c2"]
        problem(await post(f"/api/runs/{failures}/resume?only=all"), 422, "invalid-request")
        partial = (
            await a_run(here.backend.store, a_roadmap("p", "c0", "c1", "c2"), "partial")
        ).run_id
        retried = (await post(f"/api/runs/{partial}/retry")).json()
        assert retried["run"]["status"] == "queued"
        [letter] = retried["dead_letters"]
        assert (letter["concept_id"], letter["attempts"]) == ("c2", 4)
        whole = await a_run(here.backend.store, a_roadmap("whole", "c"), "completed")
        done = (await post(f"/api/runs/{whole.run_id}/resume")).json()
        assert done["submitted"] == "complete"
        problem(await post(f"/api/runs/{whole.run_id}/retry"), 409, "nothing-to-resume")
        problem(await post("/api/runs/none/cancel"), 404, "run-not-found")


@real_time
async def test_unknown_paths_and_methods_are_answered_with_problems(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        problem(await here.client.get("/nothing"), 404, "not-found")
        wrong = await here.client.put("/api/runs")
        problem(wrong, 405, "method-not-allowed")
        assert "GET" in wrong.headers["allow"]


@real_time
async def test_live_figures_workers_strategy_and_session(tmp_path: Path) -> None:
    async with site(tmp_path, work=True, strategy=["per-roadmap"]) as here:
        live = (await here.client.get("/api/live")).json()
        assert live["sentence"].startswith("0 roadmaps running · 0 concepts in flight")
        assert live["now"].keys() == {
            *("at", "workers", "roadmaps", "concepts", "calls", "connections"),
            *("connections_max", "events_per_second"),
        }
        [worker] = (await here.client.get("/api/workers")).json()["workers"]
        assert here.backend.worker is not None
        assert worker["worker_id"] == here.backend.worker.record.worker_id
        strategy = (await here.client.get("/api/strategy")).json()
        assert strategy["strategy"] == ["per-roadmap"]
        assert strategy["options"]["per-roadmap"]["limit"] == 5
        assert strategy["why"] == "1 worker idle; 0 roadmaps waiting."
        session = (await here.client.get("/api/session")).json()
        assert (session["tenant"], session["scope"]) == ("default", "write")
        assert session["token_required"] is False


@real_time
async def test_health_readiness_and_metrics(tmp_path: Path) -> None:
    async with site(tmp_path, work=True) as here:
        assert here.backend.worker is not None
        here.backend.worker.parts.gauges.fallbacks = 3
        await here.backend.store.beat(
            here.backend.worker.record.worker_id, here.backend.worker.heartbeat.figures(), lease=30
        )
        assert (await here.client.get("/health")).json() == {"status": "ok"}
        assert (await here.client.get("/ready")).json() == {"status": "ready"}
        await here.client.get("/api/runs/none")
        metrics = await here.client.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain")
        lines = metrics.text.splitlines()
        assert "paceline_workers 1.0" in lines
        assert "paceline_fallbacks_total 3.0" in lines
        assert 'paceline_roadmaps{state="queued"} 0.0' in lines
        [count] = [
            line
            for line in lines
            if line.startswith("paceline_http_request_seconds_count")
            and 'route="/api/runs/{run_id}"' in line
        ]
        assert 'status="404"' in count
        await here.backend.drain()
        problem(await here.client.get("/ready"), 503, "not-ready")
        assert (await here.client.get("/health")).status_code == 200


@real_time
async def test_the_page_can_load_only_its_own_files(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        page = await here.client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"


@real_time
async def test_artifacts_of_unknown_steps_are_listed_last(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", "c"))
        claim = await here.backend.store.claim(run_id, "w", lease=30)
        assert claim is not None
        await save(here.backend.store, claim, "c", "a-step-of-old", "quiz", "tutorial")
        place = f"/api/runs/{run_id}/concepts/c/artifacts"
        listed = (await here.client.get(place)).json()["artifacts"]
        assert [one["step"] for one in listed] == ["tutorial", "quiz", "a-step-of-old"]
