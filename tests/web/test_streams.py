"""Progress over sockets and event streams: replay, levels, all runs, and slow clients."""

import asyncio
from pathlib import Path

import pytest
from paceline.settings.model import WebSettings
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.cli_terminal import a_roadmap, a_run
from tests.support.eventually import eventually_async
from tests.support.stream_clients import Heard, event_stream, position, socket
from tests.support.web_site import Working, site

CONCEPTS = ("c0", "c1", "c2")


def told(events: list[Heard]) -> list[tuple[str | None, str]]:
    """Concept and status of each event."""
    return [(event["concept_id"], event["status"]) for event in events]


@real_time
async def test_a_client_receives_a_run_from_its_state_to_its_end(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", *CONCEPTS))
        async with socket(here, f"/ws/runs/{run_id}") as client:
            assert client.hello == {"type": "hello", "level": "concept", "rate": 4.0}
            [waiting] = await client.events(1)
            assert waiting["type"] == "content_generation_snapshot"
            assert (waiting["status"], waiting["progress_total"]) == ("queued", 3)
            work = await Working.on(here.backend, run_id)
            for concept in CONCEPTS[:2]:
                await work.begin(concept)
                await work.complete(concept)
            await work.fail("c2")
            await work.end()
            heard, code = await client.rest()
        assert told(heard) == [
            (None, "running"),
            ("c0", "generating"),
            ("c0", "completed"),
            ("c1", "generating"),
            ("c1", "completed"),
            ("c2", "failed"),
            (None, "partial"),
        ]
        assert [event["offset"] for event in heard] == list(range(1, 8))
        assert heard[-1]["type"] == "content_generation_finished"
        assert code == 1000


@real_time
async def test_a_client_that_reconnects_gets_exactly_what_it_missed(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", *CONCEPTS))
        work = await Working.on(here.backend, run_id)
        async with socket(here, f"/ws/runs/{run_id}") as client:
            await client.events(1)
            await work.complete("c0")
            [last] = await client.events(1)
        await work.complete("c1")
        await work.begin("c2")
        place = position(last)
        async with socket(here, f"/ws/runs/{run_id}?after={place}") as client:
            missed = await client.events(2)
        assert told(missed) == [("c1", "completed"), ("c2", "generating")]
        async with event_stream(here, run_id, last=place) as events:
            assert [await anext(events), await anext(events)] == missed
        async with event_stream(here, run_id, after=place) as events:
            assert await anext(events) == missed[0]
        await work.complete("c2")
        await work.end()
        async with socket(here, f"/ws/runs/{run_id}?after={position(missed[-1])}") as client:
            heard, code = await client.rest()
        assert told(heard) == [("c2", "completed"), (None, "completed")]
        assert code == 1000


@real_time
async def test_a_client_that_received_the_end_gets_204(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", "c0"))
        work = await Working.on(here.backend, run_id)
        async with event_stream(here, run_id) as events:
            await anext(events)
            await work.complete("c0")
            await work.end()
            heard = [event async for event in events]
        assert heard[-1]["type"] == "content_generation_finished"
        seen = {"Last-Event-ID": position(heard[-1])}
        again = await here.client.get(f"/api/runs/{run_id}/events", headers=seen)
        assert again.status_code == 204
        async with socket(here, f"/ws/runs/{run_id}?after={position(heard[-1])}") as client:
            assert await client.rest() == ([], 1000)


@pytest.mark.parametrize("place", ["5-5", "9999999999999-1", "no place"])
@real_time
async def test_a_position_that_is_not_retained_leads_to_resync_and_state(
    tmp_path: Path, place: str
) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", *CONCEPTS))
        work = await Working.on(here.backend, run_id)
        await work.complete("c0")
        async with event_stream(here, run_id, last=place) as events:
            lost, state = await anext(events), await anext(events)
            assert lost["type"] == "resync_required"
            assert state["type"] == "content_generation_snapshot"
            assert (state["progress_current"], state["progress_total"]) == (1, 3)
            await work.complete("c1")
            following = await anext(events)
            assert told([following]) == [("c1", "completed")]
            assert following["offset"] == state["offset"] + 1


@real_time
async def test_a_run_that_ended_earlier_is_sent_as_its_end(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        ended = await a_run(here.backend.store, a_roadmap("r", "c", "d"), "partial")
        async with event_stream(here, ended.run_id) as events:
            [event] = [event async for event in events]
        assert event["type"] == "content_generation_finished"
        assert (event["status"], event["failed"]) == ("partial", 1)


@real_time
async def test_roadmap_level_events_are_coalesced_without_losing_the_last_state(
    tmp_path: Path,
) -> None:
    concepts = [f"c{number}" for number in range(60)]
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", *concepts))
        work = await Working.on(here.backend, run_id)
        begun = asyncio.get_running_loop().time()
        async with socket(here, f"/ws/runs/{run_id}?level=roadmap&rate=2") as client:
            await client.events(1)
            for concept in concepts:
                await work.begin(concept)
                await work.complete(concept)
            await work.end()
            heard, code = await client.rest()
        took = asyncio.get_running_loop().time() - begun
        assert len(heard) <= 2 * took + 1, "at most two messages a second"
        assert {event["concept_id"] for event in heard} == {None}
        counts = [event["progress_current"] for event in heard]
        assert counts == sorted(counts)
        assert (heard[-1]["status"], counts[-1], code) == ("completed", 60, 1000)


@real_time
async def test_one_socket_sends_all_runs_as_they_start_and_end(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        first = await here.submitted(a_roadmap("first", "c0"))
        async with socket(here, "/ws/runs") as client:
            seen: dict[str, Heard] = {}

            async def until(run_id: str, status: str) -> None:
                while seen.get(run_id, {}).get("status") != status:
                    batch = await client.message()
                    assert batch["type"] == "batch"
                    seen.update({event["task_id"]: event for event in batch["events"]})

            await until(first, "queued")
            second = await here.submitted(a_roadmap("second", "c0"))
            await until(second, "queued")
            work = await Working.on(here.backend, second)
            await work.complete("c0")
            await work.end()
            await until(second, "completed")
            await here.client.post(f"/api/runs/{first}/cancel")
            await until(first, "cancelled")
            await here.client.post(f"/api/runs/{first}/resume")
            await until(first, "queued")
            assert client.live, "both layers come once a second"
            assert client.live[0]["sentence"].startswith("0 roadmaps running")


@real_time
async def test_a_client_of_all_runs_that_reconnects_gets_what_it_missed_of_each(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        ids = [await here.submitted(a_roadmap(name, *CONCEPTS)) for name in ("a", "b")]
        works = [await Working.on(here.backend, run_id) for run_id in ids]
        places: dict[str, str] = {}
        async with socket(here, "/ws/runs?level=concept") as client:
            for event in await client.events(2):
                places[event["task_id"]] = position(event)
        for concept in CONCEPTS:
            await works[0].complete(concept)
        await works[0].end()
        await works[1].begin("c0")
        says = {"type": "follow", "level": "concept", "after": {**places, "gone": "1-1"}}
        async with socket(here, "/ws/runs?wait=true", says=says) as client:
            heard = await client.events(5)
        assert told([one for one in heard if one["task_id"] == ids[0]]) == [
            ("c0", "completed"),
            ("c1", "completed"),
            ("c2", "completed"),
            (None, "completed"),
        ]
        [other] = [one for one in heard if one["task_id"] == ids[1]]
        assert told([other]) == [("c0", "generating")]


@pytest.mark.parametrize(
    "says", ["no json", '{"type": "hello"}', '{"type": "follow", "more": 1}', b"\x00", "[]"]
)
@real_time
async def test_an_invalid_first_message_closes_the_socket(
    tmp_path: Path, says: str | bytes
) -> None:
    async with site(tmp_path) as here, connect(f"{here.ws}/ws/runs?wait=true") as client:
        await client.send(says)
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert closed.value.rcvd.reason


@real_time
async def test_a_client_that_does_not_read_is_disconnected_and_costs_nothing(
    tmp_path: Path,
) -> None:
    web = WebSettings(send_timeout=0.5)
    async with site(tmp_path, web=web, events={"max_length": 100}) as here:
        concepts = [f"c{number}" for number in range(4)]
        run_id = await here.submitted(a_roadmap("r", *concepts))
        work = await Working.on(here.backend, run_id)
        host, port = here.url.removeprefix("http://").split(":")
        # It asks, and reads nothing of the answer.
        _, writer = await asyncio.open_connection(host, int(port), limit=1024)
        asked = f"GET /api/runs/{run_id}/events HTTP/1.1\r\nHost: {host}\r\n\r\n"
        writer.write(asked.encode())
        await writer.drain()

        def readers() -> int:
            channel = here.backend.hub.channel(run_id)
            return 0 if channel is None else len(channel.subscribers)

        await eventually_async(readers)
        reason = "x" * 900

        async def cut() -> bool:
            for concept in concepts:
                work.progress.failed(concept, reason)
            await work.outbox.flush()
            return not readers()

        await eventually_async(cut, within=60)
        metrics = (await here.client.get("/metrics")).text
        assert "paceline_streams_too_slow_total 1.0" in metrics
        assert "paceline_streams 0.0" in metrics
        writer.close()


@real_time
async def test_a_client_that_fell_behind_the_retained_events_gets_resync(tmp_path: Path) -> None:
    async with site(tmp_path, events={"max_length": 100}) as here:
        run_id = await here.submitted(a_roadmap("r", *CONCEPTS))
        work = await Working.on(here.backend, run_id)
        async with socket(here, f"/ws/runs/{run_id}") as client:
            [first] = await client.events(1)
            for _ in range(200):
                work.progress.generating("c0")
            await work.outbox.flush()
            await eventually_async(
                lambda: (
                    (channel := here.backend.hub.channel(run_id)) is not None
                    and channel.newest.offset == 201
                )
            )
            async with socket(here, f"/ws/runs/{run_id}?after={position(first)}") as late:
                lost, state = await late.events(2)
            assert lost["type"] == "resync_required"
            assert (state["type"], state["offset"]) == ("content_generation_snapshot", 201)


@real_time
async def test_streams_close_cleanly_when_the_server_stops(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", *CONCEPTS))
        async with (
            socket(here, f"/ws/runs/{run_id}") as one,
            event_stream(here, run_id) as events,
        ):
            await one.events(1)
            await anext(events)
            await here.backend.hub.close()
            assert await one.rest() == ([], 1012)
            assert [event async for event in events] == []


@real_time
async def test_a_run_of_another_process_is_read_from_the_store(tmp_path: Path) -> None:
    async with site(tmp_path) as here, site(tmp_path) as elsewhere:
        run_id = await here.submitted(a_roadmap("r", *CONCEPTS))
        async with socket(here, f"/ws/runs/{run_id}") as client:
            await client.events(1)
            work = await Working.on(elsewhere.backend, run_id)
            for concept in CONCEPTS:
                await work.complete(concept)
            await work.end()
            heard, code = await client.rest()
        assert {event["concept_id"] for event in heard} == {None}
        assert (heard[-1]["status"], heard[-1]["progress_current"]) == ("completed", 3)
        assert code == 1000


@real_time
async def test_a_client_with_a_position_of_the_store_gets_later_changes(tmp_path: Path) -> None:
    async with site(tmp_path) as here, site(tmp_path) as elsewhere:
        run_id = await here.submitted(a_roadmap("r", *CONCEPTS))
        async with event_stream(here, run_id) as events:
            waiting = await anext(events)
        assert (waiting["status"], position(waiting)) == ("queued", "0-0")
        work = await Working.on(elsewhere.backend, run_id)
        await work.complete("c0")
        async with socket(here, f"/ws/runs/{run_id}?after=0-0&level=roadmap") as client:
            [state] = await client.events(1)
        assert (state["status"], state["progress_current"]) == ("running", 1)
        for concept in CONCEPTS[1:]:
            await work.complete(concept)
        await work.end()
        async with event_stream(here, run_id, last=position(state)) as events:
            [ended] = [event async for event in events]
        assert (ended["type"], ended["status"]) == ("content_generation_finished", "completed")
        says = {"type": "follow", "level": "concept", "after": {run_id: position(state)}}
        async with socket(here, "/ws/runs?wait=true", says=says) as client:
            [again] = await client.events(1)
        assert told([again]) == told([ended])
        seen = {"Last-Event-ID": position(ended)}
        answer = await here.client.get(f"/api/runs/{run_id}/events", headers=seen)
        assert answer.status_code == 204, "who has seen that end need not come again"


@real_time
async def test_after_a_resume_the_next_end_is_sent_again(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        ended = await a_run(here.backend.store, a_roadmap("r", "c", "d"), "partial")
        async with event_stream(here, ended.run_id) as events:
            [first] = [event async for event in events]
        await here.client.post(f"/api/runs/{ended.run_id}/retry")
        claim = await here.backend.store.claim(ended.run_id, "w", lease=30)
        assert claim is not None
        await here.backend.store.finish(claim, "failed", "no")
        async with event_stream(here, ended.run_id, last=position(first)) as events:
            heard = [event async for event in events]
        assert heard[-1]["status"] == "failed"
        assert heard[-1]["type"] == "content_generation_finished"


@real_time
async def test_a_client_that_leaves_before_it_is_accepted_causes_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", *CONCEPTS))
        # A place of the future makes the server wait a moment before it opens the socket.
        path = f"/ws/runs/{run_id}?after=9999999999999-1"
        host, port = here.url.removeprefix("http://").split(":")
        for _ in range(3):
            _, writer = await asyncio.open_connection(host, int(port))
            asked = (
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            writer.write(asked.encode())
            await writer.drain()
            await eventually_async(lambda: here.backend.hub.channel(run_id) is not None)
            writer.transport.abort()
            await eventually_async(lambda: here.backend.hub.channel(run_id) is None)
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


@real_time
async def test_two_servers_with_one_store_show_and_steer_the_same_runs(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    await asyncio.to_thread(schema.upgrade, SecretStr(postgres_url))
    parts = {"store": postgres_url, "redis": {"url": redis_url}}

    async with site(tmp_path, **parts) as one, site(tmp_path, **parts) as two:  # type: ignore[arg-type]
        key = {"Idempotency-Key": "k"}
        body = a_roadmap("r", *CONCEPTS).to_json()
        answers = await asyncio.gather(
            *(here.client.post("/api/runs", content=body, headers=key) for here in (one, two))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 201]
        [run_id] = {answer.json()["run"]["run_id"] for answer in answers}
        async with (
            socket(one, f"/ws/runs/{run_id}") as first,
            socket(two, "/ws/runs?level=concept") as second,
        ):
            heard: list[list[Heard]] = [await first.events(1), await second.events(1)]
            work = await Working.on(two.backend, run_id)
            await work.complete("c0")
            for stream, events in zip((first, second), heard, strict=True):
                while told(events)[-1] != ("c0", "completed"):
                    events.extend(await stream.events(1))
                # A server that polls the store before the event arrives sends the start itself.
                assert {*told(events)} == {(None, "queued"), (None, "running"), ("c0", "completed")}
            assert heard[0][-1] == heard[1][-1], "the same event in the same place"
            place = position(heard[0][-1])
            await work.complete("c1")
        async with socket(two, f"/ws/runs/{run_id}?after={place}") as client:
            assert told(await client.events(1)) == [("c1", "completed")]
        asked = (await two.client.post(f"/api/runs/{run_id}/cancel")).json()["run"]
        assert asked["cancel_requested"]
        shown = (await one.client.get(f"/api/runs/{run_id}")).json()
        assert shown["cancel_requested"]
