"""Brings an answer to the client: whole, streamed, dripping, cut or never."""

import asyncio
import math
from collections.abc import Callable

from aiohttp import web

from paceline_adapters.simulator.engine import Call
from paceline_adapters.simulator.figures import Ending
from paceline_adapters.simulator.wire import DONE, Envelope

#: A stream says its first word after this share of the latency; the rest is evenly spread.
_FIRST_WORD = 0.1
#: Chunks of a stream, at most, and characters per chunk, at least.
_MOST_CHUNKS = 32
_LEAST_CHARACTERS = 16
#: A dripping answer takes so many latencies more, in so many pieces.
_DRIP_LATENCIES = 3
_DRIPS = 24

End = Callable[[Ending], None]


async def deliver(
    request: web.Request, call: Call, envelope: Envelope, *, arrived: float, end: End
) -> web.StreamResponse:
    """Answer a call in its time.

    Args:
        request: the HTTP request.
        call: what to say, when, and what goes wrong.
        envelope: what stands around it.
        arrived: the loop's time at which the latency began.
        end: called once the answer is computed, just before its last byte goes out.
    """
    if call.fault == "hang":
        await asyncio.get_running_loop().create_future()  # until the client goes
    if call.request.stream:
        return await _stream(request, call, envelope, arrived=arrived, end=end)
    await _until(arrived + call.seconds)
    body = envelope.whole(call.answer)
    match call.fault:
        case "bad-json-body":
            body = body[: len(body) // 2]
        case "disconnect":
            return await _cut(request, body, end)
        case "slow":
            return await _drip(request, call, body, end)
        case _:
            pass
    end("completed")
    return web.Response(body=body, content_type="application/json", charset="utf-8")


async def _cut(request: web.Request, body: bytes, end: End) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _hang_up(request, end)
    return response


async def _drip(request: web.Request, call: Call, body: bytes, end: End) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    pause = call.seconds * _DRIP_LATENCIES / _DRIPS
    size = math.ceil(len(body) / _DRIPS)
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
    size = max(_LEAST_CHARACTERS, math.ceil(length / _MOST_CHUNKS))
    events = list(
        envelope.chunks(call.answer, size=size, usage=bool(options and options.include_usage))
    )
    if call.fault == "bad-json-body":
        events[len(events) // 2 :] = [b'data: {"id": "chatcmpl-\n\n']
    elif call.fault == "disconnect":
        del events[max(1, len(events) // 2) :]
    elif call.fault != "no-finish":
        events.append(DONE)
    first = call.seconds * _FIRST_WORD
    rest = call.seconds - first
    if call.fault == "slow":
        rest += call.seconds * _DRIP_LATENCIES
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
        _hang_up(request, end)
        return response
    await response.write_eof()
    return response


def _hang_up(request: web.Request, end: End) -> None:
    end("cut")
    # Closed, not aborted: what was written arrives first, so it is cut mid-answer.
    if request.transport is not None:
        request.transport.close()


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))
