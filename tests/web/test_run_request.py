"""The context and scope of runs in the API."""

import json
from pathlib import Path
from typing import Any

import httpx2
from paceline.contracts.storage.budgets import BudgetAccount, Shortage
from paceline.testing.contracts.store.inputs import must_claim
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


@real_time
async def test_resuming_with_a_larger_budget_continues_a_run_that_used_up_its_own(
    tmp_path: Path,
) -> None:
    priced = {"prompt_price": 1.0, "completion_price": 1.0}
    settings: dict[str, Any] = {"strategy": ["budget", "unbounded"], "provider": priced}
    async with site(tmp_path, work=False, **settings) as here:
        submitted = await post(here, body(budget=0.25))
        run_id = submitted.json()["run"]["run_id"]
        claim = await must_claim(here.backend.store, run_id)
        account = BudgetAccount(scope="run", subject=run_id)
        lacks = Shortage(account=account, limit=250_000_000, spent=200_000_000, amount=60_000_000)
        assert await here.backend.store.pause_short(claim, lacks, "budget") == "paused"
        place = f"/api/runs/{run_id}/resume"
        for wrong, says in (
            ("0", "budget: input should be greater than 0"),
            ("-1", "budget: input should be greater than 0"),
            ("1e10", "budget: input should be less than or equal to 1000000000"),
            ("nan", "budget"),
            ("inf", "budget"),
            ("much", "budget: input should be a valid number"),
        ):
            refused = await here.client.post(place, params={"budget": wrong})
            assert refused.status_code == 422, refused.text
            assert says.lower() in refused.json()["detail"].lower()
        assert (await here.backend.store.run(run_id)).budget == 0.25
        answer = await here.client.post(place, params={"budget": 2.5})
        assert answer.status_code == 200, answer.text
        run = answer.json()["run"]
        assert (answer.json()["submitted"], run["status"], run["budget"]) == (
            "resumed",
            "queued",
            2.5,
        )


@real_time
async def test_a_budget_of_a_resumed_run_needs_the_strategy_that_keeps_it(tmp_path: Path) -> None:
    async with site(tmp_path, work=False) as here:
        run_id = (await post(here, body())).json()["run"]["run_id"]
        place = f"/api/runs/{run_id}/resume"
        for refused in (
            await post(here, body(budget=1)),
            await here.client.post(place, params={"budget": 1}),
        ):
            assert refused.status_code == 400
            assert "needs the strategy budget" in refused.json()["detail"]
