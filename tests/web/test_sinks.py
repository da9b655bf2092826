"""`/api/sinks` and the metrics of sinks."""

from pathlib import Path

from paceline.contracts.storage.outbox import SinkOutage, SinkRoute
from paceline.testing.virtual_time import real_time

from tests.support.cli_terminal import a_roadmap, a_run
from tests.support.web_site import READER, Site, site, tokens


async def one_sink_down(here: Site) -> None:
    store = here.backend.store
    store.deliver_to([SinkRoute(sink="files")])
    await a_run(store, a_roadmap("one", "a"), "completed")
    batch = await store.claim_batch("files", limit=1, lease=30)
    await store.settle(batch, outage=SinkOutage(reason="/content/one: no disk", retry_in=100))


@real_time
async def test_the_state_of_each_sink_is_shown(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        assert (await here.client.get("/api/sinks")).json() == {"sinks": []}
        await one_sink_down(here)
        (shown,) = (await here.client.get("/api/sinks")).json()["sinks"]
        assert (shown["sink"], shown["waiting"], shown["failures"]) == ("files", 4, 1)
        assert shown["reason"] == "/content/one: no disk"
        assert shown["state"].startswith("down for 0 s: /content/one: no disk; next attempt in ")
        metrics = (await here.client.get("/metrics")).text
        assert 'paceline_sink_waiting{sink="files"} 4.0' in metrics
        assert 'paceline_sink_dead_letters{sink="files"} 0.0' in metrics


@real_time
async def test_tenants_see_numbers_and_no_reason(tmp_path: Path) -> None:
    async with site(tmp_path, web=tokens(), token=READER) as here:
        await one_sink_down(here)
        answer = await here.client.get("/api/sinks")
        assert answer.json()["sinks"][0]["reason"] is None
        assert "/content/one" not in answer.text
