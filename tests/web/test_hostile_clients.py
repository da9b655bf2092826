"""Clients that misbehave are disconnected or get an error; other clients do not notice."""

import asyncio
import json
import os
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from paceline.settings.model import WebSettings
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema
from paceline_adapters.web import bounded_protocols, request_body, sockets
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.cli_terminal import a_roadmap, a_run
from tests.support.eventually import eventually_async
from tests.support.web_site import READER, WRITER, Site, site, tokens
from tests.web.test_api import problem

_TEXT, _CONTINUED, _PING, _LAST = 0x01, 0x00, 0x09, 0x80


def frame(head: int, payload: bytes) -> bytes:
    """A masked frame, as clients send them; the mask changes nothing."""
    short = len(payload) < 126
    length = bytes([0x80 | len(payload)]) if short else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([head]) + length + bytes(4) + payload


@asynccontextmanager
async def opened(
    here: Site, path: str
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A raw socket, to do what no library allows."""
    host, port = here.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def streams(here: Site) -> int:
    """Sockets that are open, as far as the hub knows."""
    return len(here.backend.hub.feeds)


async def is_cut_off(here: Site, writer: asyncio.StreamWriter, more: bytes) -> None:
    """Send without reading until the server disconnects."""
    await eventually_async(lambda: streams(here))
    assert isinstance(writer.transport, asyncio.Transport)
    writer.transport.pause_reading()

    async def cut() -> bool:
        with suppress(ConnectionError):
            writer.write(more)
            await writer.drain()
        return not streams(here)

    await eventually_async(cut, within=60)


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: loc"])
@real_time
async def test_waiting_for_a_request_times_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(bounded_protocols, "HEAD_TIMEOUT", 0.2)

    async with site(tmp_path) as here:
        host, port = here.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()
        async with connect(f"{here.ws}/ws/runs") as client:
            assert "hello" in str(await client.recv())
            for _ in range(2):
                assert "live" in str(await client.recv()), "it lives longer than that"


@real_time
async def test_an_incomplete_head_times_out_on_a_used_connection_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_protocols, "HEAD_TIMEOUT", 0.5)

    async with site(tmp_path) as here:
        host, port = here.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        whole = f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        for _ in range(2):
            writer.write(whole)
            assert b"200 OK" in await reader.readuntil(b"}")
        writer.write(whole[:-3])
        assert await reader.read() == b""
        writer.close()


@real_time
async def test_a_body_that_does_not_arrive_is_answered_with_408(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "_PART_TIMEOUT", 0.2)

    async with site(tmp_path) as here:
        answer = await _raw_post(here, b"{", length=100)
        assert b" 408 " in answer
        assert b"application/problem+json" in answer


async def _raw_post(here: Site, body: bytes, *, length: int) -> bytes:
    host, port = here.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /api/runs HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"}")
    writer.close()
    return answer


@real_time
async def test_a_client_that_floods_pings_and_reads_no_pong_is_disconnected(tmp_path: Path) -> None:
    async with site(tmp_path) as here, opened(here, "/ws/runs") as (_, writer):
        await is_cut_off(here, writer, frame(_LAST | _PING, b"p" * 125) * 500)
        assert (await here.client.get("/health")).status_code == 200


@real_time
async def test_a_message_of_endless_empty_parts_is_disconnected(tmp_path: Path) -> None:
    async with site(tmp_path) as here, opened(here, "/ws/runs") as (_, writer):
        writer.write(frame(_TEXT, b""))
        await is_cut_off(here, writer, frame(_CONTINUED, b"") * 100)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (frame(_LAST | _TEXT, b"x" * 65_535), None),
        (frame(_TEXT, b"x" * 65_535) + frame(_CONTINUED, b"x" * 65_535) * 4, 1009),
        (frame(_LAST | _TEXT, b"\xff\xfe"), 1007),
        (frame(0xF0 | _TEXT, b"reserved bits"), 1002),
        (frame(_LAST | _CONTINUED, b"of nothing"), 1002),
        (frame(_PING, b"in parts"), 1002),
        (bytes([_LAST | _TEXT, 1]) + b"x", 1002),
    ],
    ids=["large", "too large", "no text", "reserved", "continued", "ping in parts", "not masked"],
)
@real_time
async def test_an_invalid_message_closes_the_socket_with_a_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, message: bytes, code: int | None
) -> None:
    async with site(tmp_path) as here, opened(here, "/ws/runs") as (reader, writer):
        writer.write(message)
        if code is None:
            writer.write(frame(_LAST | _PING, b"still there?"))
            assert await reader.readuntil(b"still there?")
        else:
            answer = b""
            with suppress(ConnectionResetError):  # after what was not read
                while more := await reader.read(1000):
                    answer += more
            assert bytes([_LAST | 0x08]) in answer
            assert struct.pack(">H", code) in answer
            await eventually_async(lambda: not streams(here))
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


async def _until_closed(client: ClientConnection, sent: str) -> ConnectionClosed:
    try:
        await client.send(sent)
        while True:
            await client.recv()
    except ConnectionClosed as closed:
        return closed


@real_time
async def test_a_frame_of_ten_megabytes_is_rejected_before_it_arrives(tmp_path: Path) -> None:
    async with site(tmp_path) as here, connect(f"{here.ws}/ws/runs") as client:
        closed = await _until_closed(client, "x" * 10_000_000)
        # The server reads no more: its last word may be lost with what was under way.
        assert closed.rcvd is None or closed.rcvd.code == 1009


@real_time
async def test_a_client_that_sends_no_follow_message_gets_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "_FOLLOW_TIMEOUT", 0.2)

    async with site(tmp_path) as here, connect(f"{here.ws}/ws/runs?wait=true") as client:
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


@real_time
async def test_an_unknown_subprotocol_is_not_accepted(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        asked = [Subprotocol("mqtt"), Subprotocol("bearer, secret")]
        async with connect(f"{here.ws}/ws/runs", subprotocols=asked[:1]) as client:
            assert client.subprotocol is None
            assert "hello" in str(await client.recv())
        plain = await here.client.get("/ws/runs")
        problem(plain, 404, "not-found")


@real_time
async def test_a_thousand_positions_in_unknown_runs_are_ignored(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", "c"))
        odd = ["\x00", "\ud7ff", "'; DROP TABLE runs", "x" * 5000, "../../etc/passwd"]
        places = {f"no-run-{n}": "9999999999999-1" for n in range(900)}
        places |= dict.fromkeys(odd, "9" * 40)
        says = {"type": "follow", "level": "concept", "after": places}
        async with connect(f"{here.ws}/ws/runs?wait=true") as client:
            await client.send(json.dumps(says))
            while run_id not in str(await client.recv()):
                pass


@real_time
async def test_odd_ids_are_not_found_in_any_database(tmp_path: Path, postgres_url: str) -> None:
    await asyncio.to_thread(schema.upgrade, SecretStr(postgres_url))

    async with site(tmp_path, store=postgres_url) as here:
        ours = (await a_run(here.backend.store, a_roadmap("r", "c"), "partial")).run_id
        for odd in ("%00", "%ff", "a%00b", "%0d%0aX: y", "%F0%9F%92%A9", "%u0000", "'--", "*"):
            for path in (
                f"/api/runs/{odd}",
                f"/api/runs/{odd}/events",
                f"/api/runs/{odd}/concepts/{odd}",
                f"/api/runs/{ours}/concepts/{odd}",
                f"/api/runs/{ours}/concepts/{odd}/artifacts",
                f"/api/runs/{ours}/concepts/c/artifacts/{odd}",
                f"/api/runs/{ours}/concepts?after={odd}",
                f"/api/runs?before={odd}",
                f"/page/{odd}",
                f"/{odd}",
            ):
                answer = await here.client.get(path)
                assert answer.status_code == 404, (path, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
            listed = await here.client.get(f"/api/runs?roadmap_id={odd}")
            assert listed.json()["runs"] == [], odd
            cancelled = await here.client.post(f"/api/runs/{odd}/cancel")
            problem(cancelled, 404, "run-not-found")


@real_time
async def test_tokens_and_tickets_are_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for name in ("httpx2", "httpcore2", "websockets", "asyncio"):  # the client's own
        caplog.set_level("ERROR", name)

    async with site(tmp_path, web=tokens(), token=WRITER) as here:
        made = await here.client.post("/api/tickets")
        ticket = str(made.json()["ticket"])
        async with connect(f"{here.ws}/ws/runs?ticket={ticket}") as client:
            await client.recv()
        await here.client.get(f"/api/runs?token={WRITER}")
        await here.client.get("/api/live", headers={"Authorization": f"Bearer {READER}x"})
        secrets = [ticket, WRITER, READER]
    for secret in secrets:
        assert secret not in caplog.text


@real_time
async def test_an_unexpected_error_reveals_no_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(tmp_path) as here:

        async def breaks(*_: object, **__: object) -> None:
            raise ZeroDivisionError("hunter2")

        for method in ("runs", "find_runs"):
            monkeypatch.setattr(here.backend.store, method, breaks)
        for path in ("/api/runs", "/metrics"):
            answer = await here.client.get(path)
            detail = problem(answer, 500, "internal-error")
            assert "hunter2" not in detail
            assert os.sep + "web" + os.sep not in answer.text
        assert "ZeroDivisionError: hunter2" in caplog.text, "the log says what"


@real_time
async def test_parsing_a_large_body_does_not_block_other_requests(tmp_path: Path) -> None:
    async with site(tmp_path, web=WebSettings(rate=100_000)) as here:
        much = b"[" + b'{"a":1.5},' * 300_000 + b"1]"
        refused = asyncio.create_task(here.client.post("/api/runs", content=much))
        looks = 0
        while not refused.done():
            assert (await here.client.get("/health")).status_code == 200
            looks += 1
        problem(await refused, 422, "roadmap-error")
        assert looks > 5
