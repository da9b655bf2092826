"""Bodies of requests, as long as they may be and no longer."""

from fastapi import Request

from paceline_adapters.web.problems import Problem


async def bounded_body(request: Request, *, most: int) -> bytes:
    """Read a JSON body, and stop as soon as it is too long.

    Raises:
        Problem: 413, it is longer than allowed; 415, it is no JSON.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {"application/json", ""} and not media_type.endswith("+json"):
        raise Problem(415, "unsupported-media-type", "The body must be application/json.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def _too_large(most: int) -> Problem:
    return Problem(413, "too-large", f"The body is larger than {most} bytes, the most allowed.")
