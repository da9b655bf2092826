"""Artifacts of a site get more versions, and what a receiver must have got in the end."""

import asyncio
import json
from functools import partial

from paceline import App, Artifact, Claim, Run
from paceline.contracts.sink import artifact_delivery_id, run_delivery_id
from paceline.settings.sinks import sink_routes
from paceline_adapters.sql.artifact_rows import add_version
from paceline_adapters.sql.outbox_rows import Outlets
from paceline_adapters.sql.store import SqlStore
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.webhook_receiver import Received
from tests.support.worker_processes import Site


def revise_all(site: Site) -> None:
    """Make a new version of every artifact current, each in a transaction of its own."""

    async def go() -> None:
        app = App.load(environ=site.home.environment)
        async with app.factory.open_store() as store:
            assert isinstance(store, SqlStore)
            for run in await store.runs(limit=1000):
                for one in await store.artifacts(run.run_id):
                    await store._database.write(partial(revise, run, one, store))

    async def revise(run: Run, one: Artifact, store: SqlStore, connection: AsyncConnection) -> None:
        claim = Claim(run_id=run.run_id, roadmap_id=run.roadmap_id, worker_id="", fence=0)
        await add_version(connection, store._database.dialect, Outlets(routes), claim, one)

    routes = sink_routes(App.load(environ=site.home.environment).settings)
    asyncio.run(go())


def expected_ids(site: Site) -> set[str]:
    """The ids of all deliveries of all versions and all ends of runs."""
    ids: set[str] = set()
    rows = site.sql("SELECT run_id, concept_id, step, changes FROM artifacts")
    for line in rows.splitlines():
        run_id, concept_id, step, changes = line.split("|")
        ids |= {
            artifact_delivery_id(run_id, concept_id, step, number)
            for number in range(1, int(changes) + 1)
        }
    for line in site.sql("SELECT run_id, ends FROM runs").splitlines():
        run_id, ends = line.split("|")
        ids |= {run_delivery_id(run_id, number) for number in range(1, int(ends) + 1)}
    return ids


def check_received(site: Site, received: Received) -> int:
    """Check that everything arrived, in order, and that a repeated delivery is the same one.

    Returns:
        Number of repeated deliveries.
    """
    expected = expected_ids(site)
    got = received.ids()
    assert set(got) == expected, (
        f"{len(expected - set(got))} lost, {len(set(got) - expected)} unknown"
    )
    assert received.disorder() == []
    contents: dict[str, str] = {}
    for message in received.messages:
        same = json.dumps(
            {key: value for key, value in message["data"].items() if message["type"] != "run.ended"}
        )
        assert contents.setdefault(message["id"], same) == same
    return len(got) - len(expected)
