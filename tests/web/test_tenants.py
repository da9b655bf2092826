"""A tenant's token sees, follows and steers that tenant's runs, and no others."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from paceline.contracts.share import Share
from paceline.settings.model import WebSettings
from paceline.testing.virtual_time import real_time
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.cli_terminal import a_roadmap, a_run
from tests.support.eventually import eventually_async
from tests.support.stream_clients import Socket, position
from tests.support.web_site import Site, Working, site
from tests.web.test_api import problem

ACME, RIVAL, PLAIN = "acme-0123456789ab", "rival-0123456789a", "plain-0123456789a"
CONCEPTS = ("c0", "c1", "c2")


def of_tenants() -> WebSettings:
    """A token of each of two tenants, and one of the default tenant."""
    return WebSettings.model_validate(
        {
            "tokens": [
                {"token": ACME, "tenant": "acme"},
                {"token": RIVAL, "tenant": "rival"},
                {"token": PLAIN},
            ]
        }
    )


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def shared(folder: Path, **settings: Any) -> AsyncGenerator[tuple[Site, Site, Site]]:
    """One server as acme, its rival and the default tenant reach it."""
    async with site(folder, web=of_tenants(), **settings) as here:

        def as_one(token: str) -> Site:
            client = httpx2.AsyncClient(base_url=here.url, headers=bearer(token), timeout=60)
            return Site(here.url, here.backend, client)

        acme, rival, plain = as_one(ACME), as_one(RIVAL), as_one(PLAIN)
        async with acme.client, rival.client, plain.client:
            yield acme, rival, plain


@asynccontextmanager
async def socket_of(here: Site, path: str, *, says: object = None) -> AsyncGenerator[Socket]:
    """A socket opened with a site's token."""
    headers = {"Authorization": here.client.headers["authorization"]}
    async with connect(f"{here.ws}{path}", additional_headers=headers) as connection:
        if says is not None:
            await connection.send(json.dumps(says))
        made = Socket(connection)
        made.hello = await made.message()
        yield made


async def listed(here: Site, **asked: Any) -> list[str]:
    answer = await here.client.get("/api/runs", params=asked)
    assert answer.status_code == 200, answer.text
    return [one["run_id"] for one in answer.json()["runs"]]


@real_time
async def test_a_run_has_the_tenant_of_the_token_that_submits_it(tmp_path: Path) -> None:
    async with shared(tmp_path) as (acme, rival, plain):
        body = a_roadmap("r", "c").to_json()
        for here, tenant in ((acme, "acme"), (rival, "rival"), (plain, None)):
            made = (await here.client.post("/api/runs", content=body)).json()["run"]
            assert (made["tenant"], made["weight"]) == (tenant, 1.0)
            stored = await here.backend.store.run(made["run_id"])
            assert stored.share == Share(tenant or "")
            session = (await here.client.get("/api/session")).json()
            assert session["tenant"] == (tenant or "default")


@real_time
async def test_a_run_of_another_tenant_is_not_found_anywhere(tmp_path: Path) -> None:
    async with shared(tmp_path) as (acme, rival, plain):
        ours = await a_run(
            acme.backend.store, a_roadmap("r", *CONCEPTS), "partial", share=Share("acme")
        )
        place = f"/api/runs/{ours.run_id}"
        concept = f"{place}/concepts/c0"
        paths = [
            ("GET", place),
            ("GET", f"{place}/roadmap"),
            ("GET", f"{place}/events"),
            ("GET", f"{place}/concepts"),
            ("GET", concept),
            ("GET", f"{concept}/artifacts"),
            ("GET", f"{concept}/artifacts/tutorial"),
            ("GET", f"{concept}/artifacts/tutorial.md"),
            ("GET", f"/api/runs?before={ours.run_id}"),
            ("POST", f"{place}/cancel"),
            ("POST", f"{place}/retry"),
            ("POST", f"{place}/resume"),
        ]
        for method, path in paths:
            for stranger in (rival, plain):
                answer = await stranger.client.request(method, path)
                assert problem(answer, 404, "run-not-found") == (
                    f"no run has the id {ours.run_id!r}"
                ), (method, path)
            there = await acme.client.request(method, path)
            assert there.status_code == 200, (method, path, there.text)
        async with socket_of(acme, f"/ws/runs/{ours.run_id}") as own:
            assert (await own.events(1))[0]["task_id"] == ours.run_id
        for stranger in (rival, plain):
            with pytest.raises(InvalidStatus) as refused:
                async with socket_of(stranger, f"/ws/runs/{ours.run_id}"):
                    pass
            assert refused.value.response.status_code == 404


@real_time
async def test_pages_of_runs_are_full_and_hold_only_the_tenants_own(tmp_path: Path) -> None:
    async with shared(tmp_path) as (acme, rival, plain):
        ours, theirs = [], []
        for _ in range(5):
            ours.append(await acme.submitted(a_roadmap("r", "c")))
            theirs.append(await rival.submitted(a_roadmap("r", "c")))
        assert await listed(acme) == ours[::-1]
        assert await listed(rival) == theirs[::-1]
        assert await listed(plain) == []
        page = (await acme.client.get("/api/runs", params={"limit": 3})).json()
        assert [one["run_id"] for one in page["runs"]] == ours[:1:-1]
        assert page["before"] == ours[2]
        assert await listed(acme, limit=3, before=page["before"]) == ours[1::-1]
        assert await listed(acme, status=["queued", "running"], roadmap_id="r") == ours[::-1]
        assert await listed(acme, status="completed") == []


@real_time
async def test_runs_without_a_tenant_belong_to_the_default_tenant(tmp_path: Path) -> None:
    async with shared(tmp_path) as (acme, _, plain):
        for tenant in ("", "default"):
            made, _ = await acme.backend.store.create_run(
                a_roadmap("r", "c"), executor="in-process", new=True, share=Share(tenant)
            )
            assert (await listed(plain))[0] == made.run_id
            assert (await plain.client.get(f"/api/runs/{made.run_id}")).status_code == 200
            assert await listed(acme) == []


@real_time
async def test_two_tenants_can_use_the_same_idempotency_key(tmp_path: Path) -> None:
    async with shared(tmp_path) as (acme, rival, _):
        key = {"Idempotency-Key": "order-1"}
        body, other = a_roadmap("r", "c").to_json(), a_roadmap("r", "c", "d").to_json()
        ours = await acme.client.post("/api/runs", content=body, headers=key)
        theirs = await rival.client.post("/api/runs", content=other, headers=key)
        assert (ours.status_code, theirs.status_code) == (201, 201)
        again = await acme.client.post("/api/runs", content=body, headers=key)
        assert again.status_code == 200
        assert again.json()["run"]["run_id"] == ours.json()["run"]["run_id"]
        reused = await rival.client.post("/api/runs", content=body, headers=key)
        detail = problem(reused, 422, "key-reused")
        assert theirs.json()["run"]["run_id"] in detail
        assert ours.json()["run"]["run_id"] not in detail


@real_time
async def test_a_socket_of_all_runs_sends_only_the_tenants_own(tmp_path: Path) -> None:
    async with shared(tmp_path) as (acme, rival, _):
        theirs = await rival.submitted(a_roadmap("theirs", *CONCEPTS))
        ours = await acme.submitted(a_roadmap("ours", *CONCEPTS))
        async with (
            socket_of(acme, "/ws/runs?level=concept") as own,
            socket_of(rival, "/ws/runs?level=concept") as strange,
        ):
            heard = {"own": await own.events(1), "strange": await strange.events(1)}
            later = await acme.submitted(a_roadmap("later", *CONCEPTS))
            works = [await Working.on(acme.backend, one) for one in (theirs, ours, later)]
            for work in works:
                await work.complete("c0")
            heard["own"] += await own.events(5)
            heard["strange"] += await strange.events(2)
            assert {one["task_id"] for one in heard["own"]} == {ours, later}
            assert {one["task_id"] for one in heard["strange"]} == {theirs}
        # Nor is anything of theirs told to who claims to have followed it.
        last = {one["task_id"]: position(one) for one in heard["own"]}
        places = {**last, theirs: position(heard["strange"][0])}
        await works[0].complete("c1")
        await works[1].complete("c1")
        says = {"type": "follow", "level": "concept", "after": places}
        async with socket_of(acme, "/ws/runs?wait=true", says=says) as own:
            await works[0].complete("c2")
            await works[2].complete("c1")
            assert {one["task_id"] for one in await own.events(2)} == {ours, later}


@pytest.mark.soak
@real_time
async def test_a_thousand_runs_of_one_tenant_hide_no_run_of_another(tmp_path: Path) -> None:
    async with shared(tmp_path) as (acme, _, _):
        store = acme.backend.store
        ours = await acme.submitted(a_roadmap("ours", "c"))
        roadmap = a_roadmap("theirs", "c")
        for _ in range(1000):
            await store.create_run(roadmap, executor="x", new=True, share=Share("rival"))
        assert await listed(acme, limit=1) == [ours]
        async with socket_of(acme, "/ws/runs") as own:
            batch = await own.message()
            assert [one["task_id"] for one in batch["events"]] == [ours]


@real_time
async def test_a_ticket_belongs_to_its_tenant(tmp_path: Path) -> None:
    async with shared(tmp_path) as (acme, rival, _):
        ours = await acme.submitted(a_roadmap("ours", "c"))

        async def opened(here: Site, path: str) -> int:
            ticket = (await here.client.post("/api/tickets")).json()["ticket"]
            async with (
                httpx2.AsyncClient(base_url=here.url) as browser,
                browser.stream("GET", path, params={"ticket": ticket}) as answer,
            ):
                return answer.status_code

        assert await opened(acme, f"/api/runs/{ours}/events") == 200
        assert await opened(rival, f"/api/runs/{ours}/events") == 404


@real_time
async def test_figures_count_all_tenants_and_name_none(tmp_path: Path) -> None:
    async with shared(tmp_path, work=True) as (acme, rival, plain):
        worker = acme.backend.worker
        assert worker is not None
        ours = await acme.submitted(a_roadmap("ours", *CONCEPTS))
        theirs = await rival.submitted(a_roadmap("theirs", *CONCEPTS))

        async def active(here: Site) -> set[str]:
            answer = (await here.client.get("/api/workers")).json()
            return {one for at in answer["workers"] for one in at["active"] + at["reserved"]}

        async def both_begun() -> bool:
            return {*await active(acme), *await active(rival)} == {ours, theirs}

        await eventually_async(both_begun, within=60)
        assert await active(acme) == {ours}
        assert await active(rival) == {theirs}
        assert await active(plain) == set()
        for here in (acme, plain):
            for path in ("/api/live", "/api/sinks", "/api/strategy", "/metrics", "/api/workers"):
                answer = await here.client.get(path)
                assert answer.status_code == 200
                assert theirs not in answer.text
                assert "rival" not in answer.text
        await acme.backend.drain()


@real_time
async def test_without_tokens_the_runs_of_all_tenants_are_visible(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        made = [
            await a_run(here.backend.store, a_roadmap(f"r{n}", "c"), "queued", share=Share(one))
            for n, one in enumerate(("", "acme", "default"))
        ]
        newest = [one.run_id for one in reversed(made)]
        assert await listed(here) == newest
        for one in made:
            assert (await here.client.get(f"/api/runs/{one.run_id}")).status_code == 200
        async with connect(f"{here.ws}/ws/runs") as connection:
            client = Socket(connection)
            assert (await client.message())["type"] == "hello"
            seen: set[str] = set()
            while seen != set(newest):
                seen |= {one["task_id"] for one in (await client.message())["events"]}


@real_time
async def test_a_roadmap_can_be_submitted_with_a_weight(tmp_path: Path) -> None:
    async with shared(tmp_path) as (acme, _, _):
        roadmap = json.loads(a_roadmap("r", "c").to_json())

        async def submit(body: object, key: str | None = None) -> httpx2.Response:
            headers = {} if key is None else {"Idempotency-Key": key}
            return await acme.client.post("/api/runs", json=body, headers=headers)

        heavy = await submit({"roadmap": roadmap, "weight": 2.5}, "k")
        assert heavy.status_code == 201
        shown = heavy.json()["run"]
        assert (shown["tenant"], shown["weight"]) == ("acme", 2.5)
        stored = await acme.client.get(f"/api/runs/{shown['run_id']}/roadmap")
        assert stored.json() == roadmap, "the weight is no part of the roadmap"
        again = await submit({"weight": 2.5, "roadmap": roadmap}, "k")
        assert (again.status_code, again.json()["run"]["run_id"]) == (200, shown["run_id"])
        problem(await submit(roadmap, "k"), 422, "key-reused")
        assert (await submit({"roadmap": roadmap})).json()["run"]["weight"] == 1.0
        assert (await submit({**roadmap, "roadmap": 1, "weight": 9})).status_code == 201


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        ('"weight": 0', "weight must be "),
        ('"weight": -1', "weight must be "),
        ('"weight": 100.5', "weight must be "),
        ('"weight": 1e999', "weight: inf is not a JSON number"),
        ('"weight": true', "weight must be "),
        ('"weight": "2"', "weight must be "),
        ('"weight": null', "weight must be "),
        ('"weight": [1]', "weight must be "),
        ('"weight": 1, "weight": 2', "weight: duplicate key"),
        ('"tenant": "rival"', "tenant is not a known field"),
        ('"weight": 0, "tenant": "rival"', "weight must be "),
    ],
)
@real_time
async def test_invalid_run_settings_are_rejected_with_their_place(
    tmp_path: Path, terms: str, fault: str
) -> None:
    async with shared(tmp_path) as (acme, _, _):
        body = f'{{"roadmap": {a_roadmap("r", "c").to_json()}, {terms}}}'
        refused = await acme.client.post("/api/runs", content=body)
        problem(refused, 422, "invalid-request")
        assert refused.json()["faults"][0].startswith(fault)
        assert await listed(acme) == []


@real_time
async def test_faults_of_a_roadmap_and_its_run_settings_are_reported_together(
    tmp_path: Path,
) -> None:
    async with shared(tmp_path) as (acme, _, _):
        body = {"roadmap": {"roadmap_id": "r", "stages": []}, "weight": 0}
        refused = await acme.client.post("/api/runs", json=body)
        problem(refused, 422, "invalid-request")
        places = [one.split()[0].rstrip(":") for one in refused.json()["faults"]]
        assert places == ["roadmap.title", "roadmap.stages", "weight"]
        for odd in (7, None, "text"):
            refused = await acme.client.post("/api/runs", json={"roadmap": odd})
            problem(refused, 422, "invalid-request")
            assert refused.json()["faults"][0].startswith("roadmap must be an object")
