"""Versions over HTTP: revise, list, read and restore, and what a client that watches is sent."""

import json
from pathlib import Path
from typing import Any

import pytest
from paceline.contracts.storage.records import Artifact, ConceptState, Replaced
from paceline.settings.model import WebSettings
from paceline.testing.virtual_time import real_time

from tests.support.cli_processes import simulator
from tests.support.cli_terminal import a_roadmap, a_run
from tests.support.stream_clients import Heard, Socket, socket
from tests.support.web_site import READER, WRITER, Site, site, tokens
from tests.web.test_api import problem

WISH = "Shorter, with an example."
OLD, NEW = '{"note": "old text"}', '{"note": "new text"}'


async def a_finished_run(here: Site) -> str:
    """A completed run of three concepts, each with three artifacts."""
    run = await a_run(here.backend.store, a_roadmap("r", "c0", "c1/with slash", "c2"), "completed")
    return run.run_id


async def revise(here: Site, run_id: str, **body: object) -> dict[str, Any]:
    """The answer to a request for revisions."""
    answer = await here.client.post(f"/api/runs/{run_id}/revisions", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def make(here: Site, run_id: str, concept_id: str, step: str, content: str) -> None:
    """Do what a worker does with the only request of a run."""
    store = here.backend.store
    (request,) = await store.revisions(run_id)
    assert request.place == (concept_id, step)
    claim = await store.claim(run_id, "a-worker", lease=600)
    assert claim is not None
    made = Artifact(
        concept_id=concept_id,
        step=step,
        content=content,
        model="better",
        prompt_tokens=10,
        completion_tokens=20,
        cost=0.25,
        seconds=1.5,
        attempts=1,
        instruction=request.instruction,
        tenant=request.tenant,
        requested_by=request.requested_by,
        prompt_hash="p",
        input_hash="i",
    )
    done = ConceptState(concept_id=concept_id, status="completed")
    replaced = Replaced(revision=request.number, stale=("resources", "quiz"))
    await store.save(claim, made, concept=done, replaced=replaced)
    await store.finish(claim, "completed", None)


async def until(watching: Socket, **fields: str) -> Heard:
    """The next event that has these fields."""
    while True:
        message = await watching.message()
        for event in message.get("events", [message]):
            if all(event.get(name) == value for name, value in fields.items()):
                return dict(event)


@real_time
async def test_a_client_that_watches_a_run_learns_of_a_new_version(tmp_path: Path) -> None:
    with simulator("--speed", "1000") as llm:
        provider = {"base_url": llm.base_url, "api_key": "none"}
        async with (
            site(tmp_path, work=True, provider=provider) as here,
            socket(here, "/ws/runs?level=concept") as watching,
        ):
            run_id = await here.submitted(a_roadmap("r", "c0", "c1"))
            await until(watching, type="content_generation_finished")
            place = f"/api/runs/{run_id}/concepts/c0/artifacts/tutorial"
            old = (await here.client.get(place)).json()
            asked = await revise(
                here,
                run_id,
                artifacts=[{"concept_id": "c0", "step": "tutorial"}],
                instruction=WISH,
                requested_by="Ann",
            )
            assert (asked["submitted"], asked["run"]["run_id"]) == ("resumed", run_id)
            assert asked["artifacts"] == [{"concept_id": "c0", "step": "tutorial"}]
            event = await until(watching, step="tutorial")
            new = (await here.client.get(place)).json()
            assert (event["concept_id"], event["status"]) == ("c0", "completed")
            assert (old["version"], new["version"], new["changes"]) == (1, 2, 2)
            assert (new["instruction"], new["requested_by"]) == (WISH, "Ann")
            assert new["prompt_hash"] != old["prompt_hash"]
            listed = (await here.client.get(f"/api/runs/{run_id}/concepts")).json()["concepts"]
            stale = {one["concept_id"]: one["stale"] for one in listed}
            assert stale == {"c0": ["resources", "quiz"], "c1": []}
            await until(watching, type="content_generation_finished")
            more = await revise(here, run_id, where="stale", step="quiz")
            assert more["artifacts"] == [{"concept_id": "c0", "step": "quiz"}]


@real_time
async def test_each_version_can_be_read_compared_and_restored(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await a_finished_run(here)
        place = f"/api/runs/{run_id}/concepts/c1%2Fwith%20slash/artifacts/quiz"
        await revise(
            here,
            run_id,
            artifacts=[{"concept_id": "c1/with slash", "step": "quiz"}],
            instruction=WISH,
            requested_by="Ann",
        )
        await make(here, run_id, "c1/with slash", "quiz", NEW)
        plain = (await here.client.get(f"{place}/versions")).json()["versions"]
        first, second = plain
        assert [(one["version"], one["current"], one["changes"]) for one in plain] == [
            *((1, False, 0), (2, True, 2)),
        ]
        assert (
            second
            | {
                "model": "better",
                "prompt_hash": "p",
                "input_hash": "i",
                "instruction": WISH,
                "requested_by": "Ann",
                "prompt_tokens": 10,
                "cost": 0.25,
            }
            == second
        )
        assert second["created_at"] > first["created_at"]
        assert "content" not in first
        full = (await here.client.get(f"{place}/versions?content=true")).json()["versions"]
        assert full[1]["content"] == json.loads(NEW)
        old = (await here.client.get(f"{place}?version=1")).json()
        assert old == full[0]
        markdown = await here.client.get(f"{place}.md?version=1")
        assert "Which?" in markdown.text
        html = await here.client.get(f"{place}.html?version=2")
        assert "new text" in html.text
        missing = await here.client.get(f"{place}?version=3")
        assert "does not have version 3 (versions: 1, 2)" in problem(
            missing, 404, "no-such-version"
        )
        refused = await here.client.post(f"{place}/restore?version=3")
        problem(refused, 404, "no-such-version")
        restored = (await here.client.post(f"{place}/restore?version=1")).json()
        assert (restored["version"], restored["current"], restored["changes"]) == (1, True, 3)
        assert restored["content"] == full[0]["content"]
        assert (await here.client.get(place)).json() == restored


@real_time
async def test_what_a_condition_selects_is_listed_before_it_is_revised(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await a_finished_run(here)
        listed = await revise(here, run_id, step="tutorial", dry_run=True)
        assert listed["submitted"] is None
        assert [one["concept_id"] for one in listed["artifacts"]] == ["c0", "c1/with slash", "c2"]
        wide = await revise(
            here,
            run_id,
            artifacts=[{"concept_id": "c0", "step": "tutorial"}],
            downstream=True,
            dry_run=True,
        )
        assert [one["step"] for one in wide["artifacts"]] == ["tutorial", "resources", "quiz"]
        nothing = await revise(here, run_id, where="stale")
        assert (nothing["submitted"], nothing["artifacts"]) == (None, [])
        assert await here.backend.store.revisions(run_id) == []
        assert (await here.backend.store.run(run_id)).status == "completed"
        by_model = await revise(here, run_id, where="model=m")
        assert len(by_model["artifacts"]) == 9
        assert by_model["run"]["status"] == "queued"
        again = await revise(here, run_id, step="quiz")
        assert again["submitted"] == "attached"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, "one of artifacts, step and where"),
        ({"artifacts": []}, "artifacts must have at least 1 item"),
        ({"artifacts": [{"concept_id": "c0"}]}, "artifacts[0].step is missing"),
        ({"artifacts": [{"concept_id": "c0", "step": "tutorail"}]}, "did you mean 'tutorial'"),
        ({"artifacts": [{"concept_id": "c9", "step": "quiz"}]}, "no concept 'c9'"),
        ({"artifacts": [{"concept_id": "c0", "step": "quiz"}], "step": "quiz"}, "known field"),
        ({"step": "nothing"}, "no step 'nothing'"),
        ({"where": "broken"}, "where must match"),
        ({"step": "quiz", "instruction": " "}, "instruction must match"),
        ({"step": "quiz", "instruction": "x" * 10_001}, "instruction must have at most 10000"),
        ({"step": "quiz", "requested_by": ""}, "requested_by must have at least 1"),
        ({"step": "quiz", "downstream": "yes"}, "downstream must be true or false"),
        ({"step": "quiz", "tenant": "acme"}, "tenant is not a known field"),
        ([], "must be an object"),
    ],
)
@real_time
async def test_a_wrong_request_is_refused_and_changes_nothing(
    tmp_path: Path, body: object, fault: str
) -> None:
    async with site(tmp_path, store="memory://") as here:
        run_id = await a_finished_run(here)
        refused = await here.client.post(f"/api/runs/{run_id}/revisions", json=body)
        assert fault in problem(refused, 422, "invalid-request")
        assert await here.backend.store.revisions(run_id) == []
        assert (await here.backend.store.run(run_id)).status == "completed"


@real_time
async def test_the_checks_of_other_routes_hold_for_versions(tmp_path: Path) -> None:
    async with site(tmp_path, web=WebSettings(max_body=1024)) as here:
        run_id = await a_finished_run(here)
        path = f"/api/runs/{run_id}/revisions"
        post, get = here.client.post, here.client.get
        problem(await post(path, content=b" " * 1100), 413, "too-large")
        text = {"content-type": "text/plain"}
        problem(await post(path, content="{}", headers=text), 415, "unsupported-media-type")
        problem(await post(path, content="{"), 422, "invalid-request")
        problem(await post("/api/runs/none/revisions", content="{"), 404, "run-not-found")
        evil = {"origin": "https://evil.example"}
        problem(await post(path, json={"step": "quiz"}, headers=evil), 403, "foreign-origin")
        concepts = f"/api/runs/{run_id}/concepts"
        unknown = f"{concepts}/none/artifacts/quiz"
        for answer in (
            await get(f"{unknown}/versions"),
            await post(f"{unknown}/restore?version=1"),
        ):
            problem(answer, 404, "concept-not-found")
        unknown = f"{concepts}/c0/artifacts/none"
        for answer in (await get(f"{unknown}/versions"), await get(f"{unknown}?version=1")):
            problem(answer, 404, "artifact-not-found")
        for version in ("", "?version=0", f"?version={2**31}", "?version=one"):
            refused = await post(f"{concepts}/c0/artifacts/quiz/restore{version}")
            problem(refused, 422, "invalid-request")
        wrong = await get(f"{concepts}/c0/artifacts/quiz?version=0")
        problem(wrong, 422, "invalid-request")


@real_time
async def test_a_token_that_may_only_read_reads_versions_and_changes_none(tmp_path: Path) -> None:
    async with site(tmp_path, web=tokens()) as here:
        run_id = await a_finished_run(here)
        place = f"/api/runs/{run_id}/concepts/c0/artifacts/quiz"
        reads = {"Authorization": f"Bearer {READER}"}
        listed = await here.client.get(f"{place}/versions", headers=reads)
        assert [one["version"] for one in listed.json()["versions"]] == [1]
        for path in (f"{place}/restore?version=1", f"/api/runs/{run_id}/revisions"):
            refused = await here.client.post(path, json={"step": "quiz"}, headers=reads)
            problem(refused, 403, "read-only-token")
        writes = {"Authorization": f"Bearer {WRITER}"}
        answer = await here.client.post(
            f"/api/runs/{run_id}/revisions", json={"step": "quiz"}, headers=writes
        )
        assert answer.status_code == 200
        assert {one.tenant for one in await here.backend.store.revisions(run_id)} == {"default"}
