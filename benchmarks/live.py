"""The cost of subscribers: messages per second, their delay, and memory per socket.

A server in another process publishes the events of one run, first at the rate of the canonical
workload, then as fast as possible. 1, 100 and 1 000 sockets subscribe at the levels ``concept``
(every event) and ``roadmap`` (coalesced). The delay is measured from an event's ``at`` to its
arrival.
"""

import asyncio
import base64
import json
import os
import statistics
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from paceline.live.feed import RATE

from benchmarks.targets import Target, conclude, table

_AT = b'"at":"'
#: First bytes of the frames with which a server checks that a client is connected.
_PING, _PONG = 0x89, 0x8A
#: Maximum seconds to wait for the next message.
_MESSAGE_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement.

    Attributes:
        sockets: number of sockets.
        level: level of their subscription.
        published: number of published events.
        rate: events per second; 0 means all at once.
        each: messages received per socket.
        messages: messages per second, over all sockets.
        p50_ms: median delay in milliseconds.
        p99_ms: 99th percentile of the delay in milliseconds.
    """

    sockets: int
    level: str
    published: int
    rate: float
    each: float
    messages: float
    p50_ms: float
    p99_ms: float

    def row(self) -> list[str]:
        """A row of the table."""
        offered = f"{self.published} {f'{self.rate:g}/s' if self.rate else 'at once'}"
        figures = (self.each, self.messages, self.p50_ms, self.p99_ms)
        return [str(self.sockets), self.level, offered, *(f"{one:,.1f}" for one in figures)]


@dataclass(slots=True)
class Received:
    """What the sockets of one measurement received.

    Attributes:
        messages: number of events and states.
        delays: seconds from an event to its arrival.
        last_at: loop time at which the last message arrived.
        arrived: set when a message arrives.
    """

    messages: int = 0
    delays: list[float] = field(default_factory=list[float])
    last_at: float = 0.0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class Watcher(asyncio.Protocol):
    """A minimal WebSocket client, so that the server's cost dominates."""

    def __init__(self, host: str, path: str, received: Received) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n"
        ).encode()
        self._received = received
        self._buffer = b""
        self._open = False
        self.subscribed = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Request the WebSocket."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Read frames."""
        self._buffer += data
        if not self._open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert b" 101 " in head.split(b"\r\n", 1)[0], head
            self._open, self._buffer = True, rest
        at = 0
        while (stop := self._end_of_frame(at)) is not None:
            self._receive(self._buffer[at:stop])
            at = stop
        self._buffer = self._buffer[at:]

    def _end_of_frame(self, at: int) -> int | None:
        """End of the frame at ``at``, if it is complete; server frames are not masked."""
        if len(self._buffer) < at + 4:
            return None
        length, begin = self._buffer[at + 1], at + 2
        if length == 126:
            (length,), begin = struct.unpack_from(">H", self._buffer, begin), begin + 2
        return None if len(self._buffer) < begin + length else begin + length

    def _receive(self, frame: bytes) -> None:
        if frame[0] == _PING:
            assert self.transport is not None
            answer = bytes([_PONG, 0x80 | len(frame) - 2])
            self.transport.write(answer + bytes(4) + frame[2:])  # a mask of zeros changes nothing
            return
        at = frame.rfind(_AT)
        if at < 0:
            return
        if not self.subscribed.done():
            self.subscribed.set_result(
                None
            )  # the first message is the state before the measurement
            return
        text = frame[at + len(_AT) : frame.index(b'"', at + len(_AT))].decode()
        now = datetime.now().astimezone()
        self._received.messages += 1
        self._received.delays.append((now - datetime.fromisoformat(text)).total_seconds())
        self._received.arrived.set()
        self._received.last_at = asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class Server:
    """The server's process."""

    process: asyncio.subprocess.Process
    port: int
    run_id: str

    async def ask(self, line: str) -> dict[str, Any]:
        """Send a command; returns the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n".encode())
        answer: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return answer

    async def watch(self, count: int, level: str, received: Received) -> list[Watcher]:
        """Open sockets and wait until each is subscribed."""
        host, path = f"127.0.0.1:{self.port}", f"/ws/runs/{self.run_id}?level={level}"
        loop = asyncio.get_running_loop()
        watchers: list[Watcher] = []
        for _ in range(count):
            _, watcher = await loop.create_connection(
                lambda: Watcher(host, path, received), "127.0.0.1", self.port
            )
            await watcher.subscribed
            watchers.append(watcher)
        return watchers


async def _measure(server: Server, count: int, level: str, events: int, rate: float) -> Measured:
    received = Received()
    watchers = await server.watch(count, level, received)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await server.ask(f"{events} {rate}")
    expected = events * count
    with suppress(TimeoutError):
        while received.messages < expected:
            async with asyncio.timeout(_MESSAGE_TIMEOUT):
                await received.arrived.wait()
            received.arrived.clear()
    took = max(received.last_at - started, 1e-9)
    for watcher in watchers:
        assert watcher.transport is not None
        watcher.transport.abort()
    return Measured(
        sockets=count,
        level=level,
        published=events,
        rate=rate,
        each=received.messages / count,
        messages=received.messages / took,
        p50_ms=_percentile_ms(received.delays, 50),
        p99_ms=_percentile_ms(received.delays, 99),
    )


def _percentile_ms(delays: Sequence[float], percent: int) -> float:
    """A percentile of the delays in milliseconds."""
    return statistics.quantiles([*delays, *delays] or [0.0, 0.0], n=100)[percent - 1] * 1000


async def _idle(server: Server, count: int) -> float:
    """KiB of server memory per idle socket."""
    before = (await server.ask("memory"))["resident"]
    watchers = await server.watch(count, "roadmap", Received())
    after = (await server.ask("memory"))["resident"]
    for watcher in watchers:
        assert watcher.transport is not None
        watcher.transport.abort()
    return float(after - before) / count / 1024


async def _all(
    counts: Sequence[int], seconds: float, rate: float, burst: int
) -> tuple[float, list[Measured]]:
    """KiB per idle socket, and all measurements."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.live_server"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    address = json.loads(await process.stdout.readline())
    server = Server(process, address["port"], address["run_id"])
    try:
        await server.watch(20, "roadmap", Received())  # the first sockets load code and caches
        idle = await _idle(server, max(counts))
        found: list[Measured] = []
        for count in counts:
            for level in ("concept", "roadmap"):
                for events, pace in ((round(seconds * rate), rate), (burst, 0.0)):
                    found.append(await _measure(server, count, level, events, pace))
                    click.echo(f"{count} sockets, {level}, {events} events: measured", err=True)
        return idle, found
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def targets(idle: float, found: Sequence[Measured]) -> list[Target]:
    """The targets.

    They cover what two cores can send: every event to a hundred sockets, and coalesced states to a
    thousand. With more messages, sockets fall behind.
    """
    every = [one for one in found if one.level == "concept"]
    each = [one for one in every if one.sockets <= 100] or every
    coalesced = [one for one in found if one.level == "roadmap"]
    late = [one.p99_ms for one in each if one.rate]
    shares = [one.each / one.published for one in each]
    paced = [one.each / (RATE * one.published / one.rate + 2) for one in coalesced if one.rate]
    return [
        Target("KiB per idle socket", idle, most=64),
        Target("share of events received by up to 100 sockets", min(shares), least=1),
        Target("messages at the level roadmap ÷ maximum at 4 per second", max(paced), most=1),
        Target("p99 ms of events, up to 100 sockets", max(late), most=250),
        Target("p99 ms of states, all sockets", max(one.p99_ms for one in coalesced), most=1000),
        Target("maximum messages per second", max(one.messages for one in every), least=5000),
    ]


@click.command(help=__doc__)
@click.option("--subscribers", default="1,100,1000", show_default=True, help="Numbers of sockets.")
@click.option(
    "--seconds", default=5.0, show_default=True, help="Seconds of publishing at the rate."
)
@click.option("--rate", default=84.0, show_default=True, help="Events per second.")
@click.option("--burst", default=200, show_default=True, help="Events published at once.")
@click.option("--quick", is_flag=True, help="Only 1 and 20 sockets, for one second.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all measurements to this file.",
)
def main(
    *,
    subscribers: str,
    seconds: float,
    rate: float,
    burst: int,
    quick: bool,
    json_file: Path | None,
) -> None:
    """Run the benchmark."""
    if quick:
        subscribers, seconds, burst = "1,20", 1.0, 50
    counts = [int(count) for count in subscribers.split(",")]
    idle, found = asyncio.run(_all(counts, seconds, rate, burst))
    head = ["sockets", "level", "published", "each", "messages/s", "p50 ms", "p99 ms"]
    click.echo(table(head, [one.row() for one in found]))
    measured = {"idle_kib": idle, "measured": [asdict(one) for one in found]}
    sys.exit(conclude(targets(idle, found), measured, json_file))


if __name__ == "__main__":
    main()
