"""Artifacts of a site get more versions, and what a receiver must have got in the end."""

import asyncio
import json
from collections.abc import Sequence
from functools import partial

from paceline import App
from paceline.contracts.sink import artifact_delivery_id, run_delivery_id
from paceline.settings.sinks import sink_routes
from paceline_adapters.sql.outbox_rows import OF_ARTIFACT, Outlets, add_artifacts
from paceline_adapters.sql.store import SqlStore
from paceline_adapters.sql.tables import artifacts, past_versions
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.webhook_receiver import Received
from tests.support.worker_processes import Site


def revise_all(site: Site) -> None:
    """Make a new version of every artifact current, each in a transaction of its own."""

    async def go() -> None:
        app = App.load(environ=site.home.environment)
        async with app.factory.open_store() as store:
            assert isinstance(store, SqlStore)
            for key in await store._database.read(keys):
                await store._database.write(partial(revise, key))

    async def keys(connection: AsyncConnection) -> Sequence[tuple[str, str, str]]:
        rows = await connection.execute(
            select(artifacts.c.run_id, artifacts.c.concept_id, artifacts.c.step)
        )
        return [(row.run_id, row.concept_id, row.step) for row in rows]

    async def revise(key: tuple[str, str, str], connection: AsyncConnection) -> None:
        this = (
            (artifacts.c.run_id == key[0])
            & (artifacts.c.concept_id == key[1])
            & (artifacts.c.step == key[2])
        )
        names = [column.name for column in past_versions.c]
        now_past = select(*(artifacts.c[name] for name in names)).where(this)
        await connection.execute(insert(past_versions).from_select(names, now_past))
        changed = await connection.execute(
            update(artifacts)
            .where(this)
            .values(version=artifacts.c.version + 1, changes=artifacts.c.changes + 1)
            .returning(*OF_ARTIFACT)
        )
        await add_artifacts(connection, Outlets(routes), changed.all())

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
