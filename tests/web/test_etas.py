"""Estimates of when runs end: in lists, of one run, in the live figures, each tenant its own."""

import asyncio
import json
from pathlib import Path

from paceline.contracts.share import Share
from paceline.testing.contracts.store.inputs import claimed, submitted
from paceline.testing.virtual_time import real_time
from websockets.asyncio.client import ClientConnection, connect

from tests.support.web_site import Site, site
from tests.web.test_tenants import shared


async def known(here: Site, run_id: str) -> float:
    """The estimate of a run, as soon as it is known."""
    while True:
        answer = await here.client.get(f"/api/runs/{run_id}")
        left = answer.json()["eta_seconds"]
        if left is not None:
            return float(left)
        await asyncio.sleep(0.05)


async def live_etas(socket: ClientConnection) -> list[str]:
    """The runs with an estimate in the next message with figures."""
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "live":
            return list(message["etas"])
    raise AssertionError("no figures")


@real_time
async def test_a_running_run_has_an_estimate_everywhere_and_a_queued_one_has_none(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        claim = await claimed(here.backend.store)
        waiting = await submitted(here.backend.store, "waiting")
        left = await known(here, claim.run_id)
        assert 20 < left < 600
        listed = (await here.client.get("/api/runs")).json()["runs"]
        found = {run["run_id"]: run["eta_seconds"] for run in listed}
        assert found[waiting.run_id] is None
        assert abs(found[claim.run_id] - left) < 60
        etas = (await here.client.get("/api/live")).json()["etas"]
        assert set(etas) == {claim.run_id}
        async with connect(f"{here.ws}/ws/runs") as socket:
            assert set(await live_etas(socket)) == {claim.run_id}


@real_time
async def test_a_tenant_sees_the_estimates_of_its_own_runs_only(tmp_path: Path) -> None:
    async with shared(tmp_path) as (acme, rival, plain):
        store, estimator = acme.backend.store, acme.backend.estimator
        mine = await claimed(store, "mine", share=Share("acme"))
        theirs = await claimed(store, "theirs", share=Share("rival"))
        both = [await store.run(one.run_id) for one in (mine, theirs)]
        found = await estimator.seconds_left(both, patience=60)
        assert set(found) == {mine.run_id, theirs.run_id}
        for here, seen in ((acme, {mine.run_id}), (rival, {theirs.run_id}), (plain, set[str]())):
            assert set((await here.client.get("/api/live")).json()["etas"]) == seen
            headers = {"Authorization": here.client.headers["authorization"]}
            async with connect(f"{here.ws}/ws/runs", additional_headers=headers) as socket:
                assert set(await live_etas(socket)) == seen
        assert (await rival.client.get(f"/api/runs/{mine.run_id}")).status_code == 404
