"""The bus across processes: its faults, and what it costs."""

import asyncio
import re
from contextlib import aclosing

import pytest
from paceline.contracts.events import START, StreamPosition
from paceline.errors import PartUnavailable
from paceline.testing.contracts.event_bus import event, hear, numbers, snapshot
from paceline.testing.servers import Valkey
from paceline.testing.virtual_time import real_time
from paceline_adapters.redis.reader import Feed

from tests.events.places import redis_bus, redis_buses
from tests.eventually import eventually_async


@real_time
async def test_another_process_hears_what_is_published(redis_url: str) -> None:
    async with redis_buses(redis_url, 2) as (here, there):
        listening = asyncio.create_task(hear(there, 3))
        await here.publish([event(0)])
        await here.publish([event(1), event(2)])
        assert numbers(await listening) == [0, 1, 2]


@real_time
async def test_who_joins_as_a_stream_begins_takes_nothing_from_those_before(redis_url: str) -> None:
    async with redis_buses(redis_url, 1) as (bus,):
        stream, reader = bus._keys("r")[0], bus._reader
        await bus.publish([event(0)])
        (heard,) = await hear(bus, 1)
        early, late = Feed(), Feed()
        for feed in (early, late):
            reader.follow(stream, feed)
            feed.catches_up()
        reader.start(stream, START)  # what the early one saw, an instant before the event
        reader.start(stream, StreamPosition(heard.epoch, heard.offset))
        await bus.publish([event(1)])
        await early.news()
        taken = early.take()
        assert taken is not None
        assert taken[0] == (heard.epoch, heard.offset)


@real_time
async def test_what_is_no_event_is_passed_over_and_counted(redis_url: str) -> None:
    async with redis_buses(redis_url, 1) as (bus,):
        async with aclosing(bus.subscribe("r")) as events:
            await bus.publish([event(0)])
            first = await anext(events)
            stream = bus._keys("r")[0]
            junk = ["", "{", "[]", '{"type": "x"}', '"' + "x" * 70_000 + '"']
            for number, text in enumerate(junk, start=2):
                await bus._link.ask("XADD", stream, f"{first.epoch}-{number}", "event", text)
            await bus._link.ask("XADD", stream, f"{first.epoch}-7", "other", "x", "y", b"\xff")
            await bus._link.ask("HSET", bus._keys("r")[1], "offset", 7)
            await bus.publish([event(1)])
            assert numbers([await anext(events)]) == [1]
        assert bus.malformed == 6


@real_time
async def test_a_flush_is_told_when_the_run_goes_on(redis_url: str, valkey_server: Valkey) -> None:
    async with redis_buses(redis_url, 1) as (bus,):
        async with aclosing(bus.subscribe("r")) as events:
            await bus.publish([event(0), event(1)])
            before = [await anext(events), await anext(events)]
            valkey_server.command("FLUSHDB", database=int(redis_url.rpartition("/")[2]))
            await bus.publish([event(2)])
            after = [await anext(events), await anext(events)]
        assert numbers(after) == [-1, 2]
        assert after[1].epoch > before[1].epoch
        assert numbers(await hear(bus, 2, before[-1].position)) == [-1, 2]


@real_time
async def test_a_read_that_was_under_way_as_a_stream_began_anew_takes_nobody_back(
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
async def test_subscribers_hear_on_after_the_server_was_away() -> None:
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
async def test_subscribers_hear_on_where_they_were_when_the_server_kept_its_data() -> None:
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
async def test_one_can_subscribe_before_the_server_is_there() -> None:
    with Valkey() as server:
        server.kill()
        async with redis_buses(server.url, 1) as (bus,):
            listening = asyncio.create_task(hear(bus, 1))
            await eventually_async(lambda: bus._reader._streams)
            server.restart()
            await bus.publish([event(0)])
            assert numbers(await listening) == [0]


@real_time
async def test_events_go_when_their_time_is_over(redis_url: str) -> None:
    bus = redis_bus(redis_url, keep=0.05)
    await bus.publish([event(0)])
    keys = bus._keys("r")

    async def left() -> bool:
        return not await bus._link.ask("EXISTS", *keys)

    assert await eventually_async(left)
    await bus.close()


@real_time
async def test_the_same_batch_sent_twice_is_appended_once(redis_url: str) -> None:
    async with redis_buses(redis_url, 1) as (bus,):
        # As when the first answer was lost on the way.
        opening = bus._opening()
        bus._opening = lambda: list(opening)  # type: ignore[method-assign]
        await bus.publish([event(0), event(1)])
        await bus.publish([event(0), event(1)])
        del bus._opening
        await bus.publish([event(2)])
        assert numbers(await hear(bus, 3)) == [0, 1, 2]


@real_time
async def test_who_falls_far_behind_catches_up(redis_url: str) -> None:
    async with redis_buses(redis_url, 1, kept=100_000) as (bus,):
        async with aclosing(bus.subscribe("r")) as events:
            await bus.publish([event(0)])
            heard = [await anext(events)]
            for start in range(0, 4000, 500):
                await bus.publish([event(start + number + 1) for number in range(500)])
            await eventually_async(lambda: [feed.behind for feed in bus._reader._feeds()] == [True])
            heard += [await anext(events) for _ in range(4000)]
            await bus.publish([event(4001)])
            heard.append(await anext(events))
        assert numbers(heard) == list(range(4002))


@real_time
async def test_a_thousand_subscribers_take_few_connections() -> None:
    with Valkey() as server:
        async with redis_buses(server.url, 1) as (bus,):
            runs = [f"run-{number}" for number in range(1000)]
            listening = [asyncio.create_task(hear(bus, 2, run=run)) for run in runs]
            await eventually_async(lambda: len(bus._reader._streams) == 1000)
            await bus.publish([event(0, run=run) for run in runs])
            await bus.publish([event(1, run=run) for run in runs])
            for heard in await asyncio.gather(*listening):
                assert numbers(heard) == [0, 1]
            text = str(await bus._link.ask("INFO"))
            connected = re.search(r"connected_clients:(\d+)", text)
            assert connected is not None
            assert int(connected[1]) <= 4
            assert not bus._reader._streams


@real_time
async def test_a_new_subscriber_need_not_wait_until_a_read_is_over(redis_url: str) -> None:
    bus = redis_bus(redis_url, timeout=20.0)  # so reads block for five seconds
    first = asyncio.create_task(hear(bus, 2, run="first"))
    await eventually_async(lambda: bus._reader._blocked)
    rung = asyncio.Event()
    end_read = bus._reader._end_read

    async def ring() -> None:
        await end_read()
        rung.set()

    bus._reader._end_read = ring  # type: ignore[method-assign]
    # Nothing is published, so nothing but its own bell can end the read before its time.
    second = asyncio.create_task(hear(bus, 1, run="second"))
    await rung.wait()
    await eventually_async(lambda: bus._reader._bell_read != "0-0")
    await bus.publish([event(0, run="second")])
    assert numbers(await second) == [0]
    first.cancel()
    await asyncio.wait([first])
    await bus.close()
