"""Request bodies: a bound on their size and time, and their schema."""

import asyncio
from typing import Any

from fastapi import Request
from paceline.client.submission import Submission

from paceline_adapters.web.problems import Problem

#: Maximum number of seconds between two parts of a body, and for the whole body.
_PART_TIMEOUT, _BODY_TIMEOUT = 20.0, 300.0
#: Maximum number of bytes of a body in YAML, which takes far longer to read than JSON.
MAX_YAML = 2 * 2**20
_YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})


def body_schema() -> dict[str, Any]:
    """Schema of a submission: a roadmap, alone or with the settings of its run."""
    schema = Submission.model_json_schema(ref_template="#/components/schemas/{model}")
    del schema["$defs"]
    return {"anyOf": [{"$ref": "#/components/schemas/Roadmap"}, schema]}


def is_yaml(request: Request) -> bool:
    """Whether the request says that its body is YAML."""
    return _media_type(request) in _YAML


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """Read a body of JSON or YAML. Raises the problems of ``read_json_body``."""
    if is_yaml(request):
        max_bytes = min(max_bytes, MAX_YAML)
    return await read_json_body(request, max_bytes=max_bytes, yaml_allowed=True)


async def read_json_body(request: Request, *, max_bytes: int, yaml_allowed: bool = False) -> bytes:
    """Read a JSON body, and stop as soon as it is too long.

    Raises:
        Problem: 408, the body does not arrive; 413, it is too long; 415, it is not JSON.
    """
    media_type = _media_type(request)
    json_given = media_type in {"application/json", ""} or media_type.endswith("+json")
    if not json_given and not (yaml_allowed and media_type in _YAML):
        allowed = "application/json or application/yaml" if yaml_allowed else "application/json"
        raise Problem(415, "unsupported-media-type", f"The body must be {allowed}.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "unsupported-media-type", "The body must not be compressed.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    chunks = request.stream()
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            while True:
                async with asyncio.timeout(_PART_TIMEOUT):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return bytes(body)
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError:
        raise Problem(408, "request-timeout", "Timed out waiting for the request body.") from None


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, "too-large", f"The body must be at most {max_bytes} bytes long.")
