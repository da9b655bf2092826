"""Sends an answer to the client: complete, streamed, slow, cut or never."""

import asyncio
import math
from collections.abc import Callable

from aiohttp import web

from paceline_adapters.simulator.engine import Call
from paceline_adapters.simulator.figures import Ending
from paceline_adapters.simulator.wire import DONE, Envelope

#: Share of the latency before the first event of a stream; the rest is evenly spread.
_FIRST_EVENT = 0.1
#: Maximum number of chunks of a stream, and minimum number of characters per chunk.
_MAX_CHUNKS = 32
_MIN_CHARACTERS = 16
#: Additional latencies of a slow answer, and its number of pieces.
_SLOW_LATENCIES = 3
_SLOW_PIECES = 24

End = Callable[[Ending], None]


async def deliver(
    request: web.Request, call: Call, envelope: Envelope, *, arrived: float, end: End
) -> web.StreamResponse:
    """Answer a call after its latency.

    Args:
        request: the HTTP request.
        call: the answer, its latency and its fault.
        envelope: the fields around the answer.
        arrived: loop time at which the latency starts.
        end: called when the answer is computed, just before its last byte is sent.
    """
    if call.fault == "hang":
        await asyncio.get_running_loop().create_future()  # until the client disconnects
    if call.request.stream:
        return await _stream(request, call, envelope, arrived=arrived, end=end)
    await _until(arrived + call.seconds)
    body = envelope.complete(call.answer)
    match call.fault:
        case "bad-json-body":
            body = body[: len(body) // 2]
        case "disconnect":
            return await _cut(request, body, end)
        case "slow":
            return await _send_slowly(request, call, body, end)
        case _:
            pass
    end("completed")
    return web.Response(body=body, content_type="application/json", charset="utf-8")


async def _cut(request: web.Request, body: bytes, end: End) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _close_early(request, end)
    return response


async def _send_slowly(
    request: web.Request, call: Call, body: bytes, end: End
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    pause = call.seconds * _SLOW_LATENCIES / _SLOW_PIECES
    size = math.ceil(len(body) / _SLOW_PIECES)
    for at in range(0, len(body), size):
        await asyncio.sleep(pause)
        if at + size >= len(body):
            end("completed")
        await response.write(body[at : at + size])
    await response.write_eof()
    return response


async def _stream(
    request: web.Request, call: Call, envelope: Envelope, *, arrived: float, end: End
) -> web.StreamResponse:
    options = call.request.stream_options
    length = len(call.answer.content or call.answer.refusal or "")
    size = max(_MIN_CHARACTERS, math.ceil(length / _MAX_CHUNKS))
    events = list(
        envelope.chunks(call.answer, size=size, usage=bool(options and options.include_usage))
    )
    if call.fault == "bad-json-body":
        events[len(events) // 2 :] = [b'data: {"id": "chatcmpl-\n\n']
    elif call.fault == "disconnect":
        del events[max(1, len(events) // 2) :]
    elif call.fault != "no-finish":
        events.append(DONE)
    first = call.seconds * _FIRST_EVENT
    rest = call.seconds - first
    if call.fault == "slow":
        rest += call.seconds * _SLOW_LATENCIES
    response = web.StreamResponse(
        headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    )
    await _until(arrived + first)
    await response.prepare(request)
    last = len(events) - 1
    for number, event in enumerate(events):
        await _until(arrived + first + rest * number / max(1, last))
        if number == last and call.fault != "disconnect":
            end("completed")
        await response.write(event)
    if call.fault == "disconnect":
        _close_early(request, end)
        return response
    await response.write_eof()
    return response


def _close_early(request: web.Request, end: End) -> None:
    end("cut")
    # Closed, not aborted, so the client receives the first part before the end.
    if request.transport is not None:
        request.transport.close()


async def _until(due: float) -> None:
    await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
