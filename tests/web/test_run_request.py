"""The context and scope of runs in the API."""

import json
from pathlib import Path
from typing import Any

import httpx2
from paceline.testing.virtual_time import real_time

from tests.support.cli_terminal import a_roadmap
from tests.support.web_site import Site, site


def body(**fields: Any) -> str:
    """A submission."""
    return json.dumps({"roadmap": json.loads(a_roadmap("r", "a", "b").to_json()), **fields})


async def post(here: Site, content: str, **headers: str) -> httpx2.Response:
    """Submit it."""
    return await here.client.post("/api/runs", content=content, headers=headers)


@real_time
async def test_a_submission_has_a_context_steps_and_parts(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        context = {"learner": {"level": "beginner"}}
        answer = await post(
            here, body(context=context, steps=["tutorial"], only=["first-module"], weight=2.0)
        )
        assert answer.status_code == 201, answer.text
        run = answer.json()["run"]
        assert (run["steps"], run["only"], run["total"]) == (["tutorial"], ["first-module"], 1)
        assert "context" not in run
        place = f"/api/runs/{run['run_id']}"
        assert (await here.client.get(place)).json()["context"] == context
        page = (await here.client.get(f"{place}/concepts")).json()
        assert [one["concept_id"] for one in page["concepts"]] == ["a"]
        assert (await here.client.get(f"{place}/concepts/b")).status_code == 404
        plain = await here.client.post("/api/runs", content=a_roadmap("r", "a").to_json())
        assert plain.json()["run"]["steps"] is None


@real_time
async def test_a_key_stands_for_one_context(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        key = {"Idempotency-Key": "k"}
        assert (await post(here, body(context={"a": 1}), **key)).status_code == 201
        assert (await post(here, body(context={"a": 1}), **key)).status_code == 200
        refused = await post(here, body(context={"a": 2}), **key)
        assert refused.json()["type"] == "urn:paceline:key-reused"


@real_time
async def test_what_is_wrong_in_a_submission_is_named_and_nothing_is_stored(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        for content, status, says in (
            (body(context=[1]), 422, "context must be an object"),
            (body(context={"a": "x" * 70_000}), 422, "context must have at most 65536 bytes"),
            (body(context={"a": "half \ud800"}), 422, "context.a: the text contains half"),
            (body(only="first-module"), 422, "only must be a list"),
            (body(only=["module:x"]), 422, "only: unknown module 'x'"),
            (body(steps=["quizz"]), 422, "unknown step 'quizz': did you mean 'quiz'?"),
            (body(steps=[]), 422, "steps must name at least one step"),
        ):
            answer = await post(here, content)
            assert answer.status_code == status, answer.text
            assert says in answer.json()["detail"]
        assert (await here.client.get("/api/runs")).json()["runs"] == []


@real_time
async def test_resuming_adds_steps_and_parts(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        submitted = await post(here, body(steps=["tutorial"], only=["first-module"]))
        place = f"/api/runs/{submitted.json()['run']['run_id']}/resume"
        answer = await here.client.post(
            place, params={"steps": ["quiz"], "also": ["concept:b", "stage:s"]}
        )
        assert answer.status_code == 200, answer.text
        run = answer.json()["run"]
        assert (run["steps"], run["total"]) == (["tutorial", "quiz"], 2)
        assert run["only"] == ["first-module", "concept:b", "stage:s"]
        refused = await here.client.post(place, params={"also": "concept:z"})
        assert "unknown concept 'z'" in refused.json()["detail"]
