"""A dead connection of the pool, or one to a changed server, costs at most a short check."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from paceline.errors import PartUnavailable
from paceline.testing.contracts.store.inputs import artifact, claimed, done, submitted
from paceline.testing.proxy import Proxy
from paceline.testing.servers import Postgres
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema, server
from paceline_adapters.sql.store import SqlStore
from sqlalchemy import text

from tests.support.databases import PostgresPlace


@pytest.fixture
def proxy(postgres_place: PostgresPlace) -> Iterator[Proxy]:
    with Proxy.to(postgres_place.url) as proxy:
        yield proxy


@pytest.fixture
def through(postgres_place: PostgresPlace, proxy: Proxy) -> PostgresPlace:
    """The database, through the proxy."""
    return PostgresPlace(postgres_place.server, proxy.through(postgres_place.url))


@real_time
async def test_connections_that_a_firewall_forgot_are_replaced_after_one_short_check(
    through: PostgresPlace, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with through.store(pool_limit=3) as store:
        claim = await claimed(store)
        await asyncio.gather(*(store.run(claim.run_id) for _ in range(9)))  # a full pool
        monkeypatch.setattr(server, "_IDLE", 0.0)  # as after a pause
        monkeypatch.setattr(server, "_CHECK", 0.5)
        proxy.forget()
        started = time.monotonic()
        assert (await store.run(claim.run_id)).status == "running"
        assert time.monotonic() - started < 5.0
        monkeypatch.setattr(server, "_CHECK", 60.0)  # the others are replaced without a check
        await store.save(claim, artifact(), concept=done())
        await asyncio.gather(*(store.run(claim.run_id) for _ in range(9)))
        assert time.monotonic() - started < 20.0


@real_time
async def test_a_connection_that_falls_silent_during_a_statement_is_replaced(
    through: PostgresPlace, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_COMMAND_TIMEOUT", 0.5)
    monkeypatch.setattr(server, "_IDLE", 1e9)  # nothing is checked before it is used
    async with through.store(pool_limit=1) as store:
        claim = await claimed(store)
        for use in (
            lambda: store.run(claim.run_id),
            lambda: store.save(claim, artifact(), concept=None),
            lambda: store.finish(claim, "completed"),
        ):
            proxy.forget()
            started = time.monotonic()
            await use()
            assert time.monotonic() - started < 5.0


@real_time
async def test_a_connection_to_a_server_that_became_read_only_is_replaced(
    postgres_place: PostgresPlace,
) -> None:
    role = f"ALTER DATABASE {postgres_place.database}"
    postgres_place.execute(f"{role} SET default_transaction_read_only = on")
    async with postgres_place.store(pool_limit=2) as store:
        await store.runs()
        assert [finding.level for finding in store.findings()] == ["wrong"]
        # The pooled connection stays as it is, new ones can write: as after a failover.
        postgres_place.server.execute(f"{role} RESET default_transaction_read_only")
        run = await submitted(store)
        assert run.status == "queued"
        assert store.findings() == []


@pytest.mark.parametrize(
    "harm",
    [
        "DISCARD ALL",
        "DEALLOCATE ALL",
        "SET default_transaction_read_only = on",
        "ALTER TABLE runs ALTER reason TYPE varchar(500)",
    ],
)
@real_time
async def test_a_session_that_lost_its_state_is_replaced(
    postgres_place: PostgresPlace, harm: str
) -> None:
    async with postgres_place.store(pool_limit=1) as store:
        assert isinstance(store, SqlStore)
        claim = await claimed(store)
        for use in (
            lambda: store.run(claim.run_id),
            lambda: store.save(claim, artifact(), concept=done()),
            lambda: store.request_cancel(claim.run_id),
        ):
            await use()
            await store._database.read(lambda connection: connection.execute(text(harm)))
            started = time.monotonic()
            await use()
            assert time.monotonic() - started < 5.0


@real_time
async def test_the_kernel_watches_each_connection(postgres_place: PostgresPlace) -> None:
    import socket

    async def options(parameters: str) -> tuple[int, ...]:
        place = PostgresPlace(postgres_place.server, postgres_place.url + parameters)
        async with place.store() as store:
            assert isinstance(store, SqlStore)
            async with store._database._reader.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                link = driver._transport.get_extra_info("socket")
                tcp = socket.IPPROTO_TCP
                return (
                    link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    link.getsockopt(tcp, socket.TCP_KEEPIDLE),
                    link.getsockopt(tcp, socket.TCP_USER_TIMEOUT),
                )

    assert await options("") == (1, 10, 20_000)
    assert await options("?keepalives_idle=77&tcp_user_timeout=1500") == (1, 77, 1500)
    assert (await options("?keepalives=0&tcp_user_timeout=0"))[::2] == (0, 0)


@real_time
async def test_a_database_that_cannot_store_every_text_is_refused_at_once(
    postgres_server: Postgres,
) -> None:
    options = "TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"
    for encoding in ("LATIN1", "SQL_ASCII"):
        name = f"encoding_{encoding.lower()}"
        postgres_server.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' {options}")
        place = PostgresPlace(postgres_server, postgres_server.url_of(name))
        refused = rf"its encoding {encoding} cannot store every text; .* ENCODING 'UTF8'"
        for ask in (schema.upgrade, schema.current):
            with pytest.raises(PartUnavailable, match=refused):
                await asyncio.to_thread(ask, place.settings().url)
        with pytest.raises(PartUnavailable, match=refused):
            async with place.store():
                pass
        postgres_server.drop_database(name)
