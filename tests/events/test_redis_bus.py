"""The bus across processes: its faults, and what it costs."""

import asyncio
import re
from contextlib import aclosing

import pytest
from paceline.contracts.events import START, StreamPosition
from paceline.errors import PartUnavailable
from paceline.testing.contracts.event_bus import event, numbers, receive, snapshot
from paceline.testing.servers import Valkey
from paceline.testing.virtual_time import real_time
from paceline_adapters.redis.reader import Feed

from tests.support.eventually import eventually_async
from tests.support.redis_buses import redis_bus, redis_buses


@real_time
async def test_another_process_receives_published_events(redis_url: str) -> None:
    async with redis_buses(redis_url, 2) as (here, there):
        subscribers = asyncio.create_task(receive(there, 3))
        await here.publish([event(0)])
        await here.publish([event(1), event(2)])
        assert numbers(await subscribers) == [0, 1, 2]


@real_time
async def test_a_late_subscriber_takes_no_event_from_an_early_one(redis_url: str) -> None:
    async with redis_buses(redis_url, 1) as (bus,):
        stream, reader = bus._keys("r")[0], bus._reader
        await bus.publish([event(0)])
        (received,) = await receive(bus, 1)
        early, late = Feed(), Feed()
        for feed in (early, late):
            reader.follow(stream, feed)
            feed.start_catching_up()
        reader.start(stream, START)  # the position that the early one read before the event
        reader.start(stream, StreamPosition(received.epoch, received.offset))
        await bus.publish([event(1)])
        await early.wait()
        taken = early.take()
        assert taken is not None
        assert taken[0] == (received.epoch, received.offset)


@real_time
async def test_invalid_entries_are_skipped_and_counted(redis_url: str) -> None:
    async with redis_buses(redis_url, 1) as (bus,):
        async with aclosing(bus.subscribe("r")) as events:
            await bus.publish([event(0)])
            first = await anext(events)
            stream = bus._keys("r")[0]
            junk = ["", "{", "[]", '{"type": "x"}', '"' + "x" * 70_000 + '"']
            for number, text in enumerate(junk, start=2):
                await bus._link.execute("XADD", stream, f"{first.epoch}-{number}", "event", text)
            await bus._link.execute("XADD", stream, f"{first.epoch}-7", "other", "x", "y", b"\xff")
            await bus._link.execute("HSET", bus._keys("r")[1], "offset", 7)
            await bus.publish([event(1)])
            assert numbers([await anext(events)]) == [1]
        assert bus.malformed == 6


@real_time
async def test_a_flush_causes_a_resync_when_the_run_continues(
    redis_url: str, valkey_server: Valkey
) -> None:
    async with redis_buses(redis_url, 1) as (bus,):
        async with aclosing(bus.subscribe("r")) as events:
            await bus.publish([event(0), event(1)])
            before = [await anext(events), await anext(events)]
            valkey_server.command("FLUSHDB", database=int(redis_url.rpartition("/")[2]))
            await bus.publish([event(2)])
            after = [await anext(events), await anext(events)]
        assert numbers(after) == [-1, 2]
        assert after[1].epoch > before[1].epoch
        assert numbers(await receive(bus, 2, before[-1].position)) == [-1, 2]


@real_time
async def test_a_read_during_a_restart_of_the_stream_moves_no_subscriber_back(
    redis_url: str, valkey_server: Valkey
) -> None:
    async with (
        redis_buses(redis_url, 1) as (bus,),
        aclosing(bus.subscribe("r")) as events,
    ):
        await bus.publish([event(0)])
        old = await anext(events)
        valkey_server.command("FLUSHDB", database=int(redis_url.rpartition("/")[2]))
        await bus.publish([event(1)])
        assert numbers([await anext(events), await anext(events)]) == [-1, 1]
        late = [[old.position, ["event", old.model_dump_json(exclude={"epoch", "offset"})]]]
        bus._reader._deliver(bus._keys("r")[0], late)
        await bus.publish([event(2)])
        assert numbers([await anext(events)]) == [2]


@real_time
async def test_subscriptions_continue_after_a_server_outage() -> None:
    with Valkey() as server:
        async with (
            redis_buses(server.url, 1) as (bus,),
            aclosing(bus.subscribe("r")) as events,
        ):
            await bus.publish([event(0)])
            assert numbers([await anext(events)]) == [0]
            server.kill()
            with pytest.raises(PartUnavailable):
                await bus.publish([event(1)])
            server.restart()
            # It lost what it had: the subscriber hears so before anything is published.
            assert numbers([await anext(events)]) == [-1]
            await bus.publish([snapshot(2)])
            assert numbers([await anext(events)]) == [2]


@real_time
async def test_subscriptions_continue_without_a_resync_if_the_server_kept_its_data() -> None:
    with Valkey(settings={"appendonly": "yes", "appendfsync": "always"}) as server:
        async with (
            redis_buses(server.url, 2) as (bus, other),
            aclosing(bus.subscribe("r")) as events,
        ):
            await bus.publish([event(0)])
            assert numbers([await anext(events)]) == [0]
            server.kill()
            server.restart()
            await other.publish([event(1)])
            assert numbers([await anext(events)]) == [1]


@real_time
async def test_a_client_can_subscribe_before_the_server_is_up() -> None:
    with Valkey() as server:
        server.kill()
        async with redis_buses(server.url, 1) as (bus,):
            subscribers = asyncio.create_task(receive(bus, 1))
            await eventually_async(lambda: bus._reader._streams)
            server.restart()
            await bus.publish([event(0)])
            assert numbers(await subscribers) == [0]


@real_time
async def test_events_expire(redis_url: str) -> None:
    bus = redis_bus(redis_url, keep=0.05)
    await bus.publish([event(0)])
    keys = bus._keys("r")

    async def left() -> bool:
        return not await bus._link.execute("EXISTS", *keys)

    assert await eventually_async(left)
    await bus.close()


@real_time
async def test_the_same_batch_sent_twice_is_appended_once(redis_url: str) -> None:
    async with redis_buses(redis_url, 1) as (bus,):
        # As if the first answer was lost.
        header = bus._header()
        bus._header = lambda: list(header)  # type: ignore[method-assign]
        await bus.publish([event(0), event(1)])
        await bus.publish([event(0), event(1)])
        del bus._header
        await bus.publish([event(2)])
        assert numbers(await receive(bus, 3)) == [0, 1, 2]


@real_time
async def test_a_subscriber_far_behind_catches_up(redis_url: str) -> None:
    async with redis_buses(redis_url, 1, kept=100_000) as (bus,):
        async with aclosing(bus.subscribe("r")) as events:
            await bus.publish([event(0)])
            received = [await anext(events)]
            for start in range(0, 4000, 500):
                await bus.publish([event(start + number + 1) for number in range(500)])
            await eventually_async(lambda: [feed.behind for feed in bus._reader._feeds()] == [True])
            received += [await anext(events) for _ in range(4000)]
            await bus.publish([event(4001)])
            received.append(await anext(events))
        assert numbers(received) == list(range(4002))


@real_time
async def test_a_thousand_subscribers_take_few_connections() -> None:
    with Valkey() as server:
        async with redis_buses(server.url, 1) as (bus,):
            runs = [f"run-{number}" for number in range(1000)]
            subscribers = [asyncio.create_task(receive(bus, 2, run=run)) for run in runs]
            await eventually_async(lambda: len(bus._reader._streams) == 1000)
            await bus.publish([event(0, run=run) for run in runs])
            await bus.publish([event(1, run=run) for run in runs])
            for received in await asyncio.gather(*subscribers):
                assert numbers(received) == [0, 1]
            text = str(await bus._link.execute("INFO"))
            connected = re.search(r"connected_clients:(\d+)", text)
            assert connected is not None
            assert int(connected[1]) <= 4
            assert not bus._reader._streams


@real_time
async def test_a_new_subscriber_does_not_wait_for_a_blocking_read(redis_url: str) -> None:
    bus = redis_bus(redis_url, timeout=20.0)  # so reads block for five seconds
    first = asyncio.create_task(receive(bus, 2, run="first"))
    await eventually_async(lambda: bus._reader._blocked)
    woken = asyncio.Event()
    wake_up = bus._reader._wake_up

    async def wake_and_note() -> None:
        await wake_up()
        woken.set()

    bus._reader._wake_up = wake_and_note  # type: ignore[method-assign]
    # Nothing is published, so only the wake-up stream can end the read before its time.
    second = asyncio.create_task(receive(bus, 1, run="second"))
    await woken.wait()
    await eventually_async(lambda: bus._reader._wakeups_read != "0-0")
    await bus.publish([event(0, run="second")])
    assert numbers(await second) == [0]
    first.cancel()
    await asyncio.wait([first])
    await bus.close()
