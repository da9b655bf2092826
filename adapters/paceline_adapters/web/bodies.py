"""Bodies of requests: as long as they may be and no longer, and what they hold."""

import asyncio
from typing import Annotated, Any, cast

from fastapi import Request
from paceline import Roadmap, RoadmapError, parse_roadmap
from paceline.contracts.share import EQUAL, HEAVIEST, LIGHTEST
from paceline.roadmaps.decoding import decode, json_faults
from paceline.validation import WHOLE, describe
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paceline_adapters.web.problems import Problem, invalid

#: Seconds that a body may come to a halt, and that the whole of it may take.
_HALT, _WHOLE = 20.0, 300.0

_Weight = Annotated[
    float,
    Field(
        ge=LIGHTEST,
        le=HEAVIEST,
        description="Its share of a quota, in proportion to those of other runs.",
    ),
]


class _Terms(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    weight: _Weight = EQUAL.weight


class Submission(_Terms):
    """A roadmap, and on which terms it is submitted.

    Attributes:
        roadmap: what to generate.
        weight: its share of what is shared.
    """

    roadmap: Roadmap


def body_schema() -> dict[str, Any]:
    """What may be submitted: a roadmap alone, or with its terms."""
    schema = Submission.model_json_schema(ref_template="#/components/schemas/{model}")
    del schema["$defs"]
    return {"anyOf": [{"$ref": "#/components/schemas/Roadmap"}, schema]}


def parse_submission(raw: bytes) -> tuple[Roadmap, float]:
    """A roadmap and its weight.

    Raises:
        RoadmapError: the roadmap is not valid, with every fault.
        Problem: 422, it or its terms are not, with every fault.
    """
    data = decode(raw, yaml_allowed=False, source="body")
    found = _with_terms(data)
    if found is None:
        return parse_roadmap(data, source="body"), EQUAL.weight
    faults: list[str] = []
    roadmap, terms = None, None
    try:
        roadmap = parse_roadmap(found["roadmap"], source="body")
        faults += json_faults(found)
    except RoadmapError as error:
        faults += [f"roadmap.{fault}".replace(f".{WHOLE}", "", 1) for fault in error.faults]
    try:
        terms = _Terms.model_validate({k: v for k, v in found.items() if k != "roadmap"})
    except ValidationError as error:
        faults += describe(error)
    if roadmap is None or terms is None or faults:
        raise invalid(faults)
    return roadmap, terms.weight


def _with_terms(data: object) -> dict[str, object] | None:
    """A roadmap and its terms, if it is that; a roadmap may have a field ``roadmap`` too."""
    if isinstance(data, dict) and "roadmap" in data and "roadmap_id" not in data:
        return cast("dict[str, object]", data)
    return None


async def bounded_body(request: Request, *, most: int) -> bytes:
    """Read a JSON body, and stop as soon as it is too long.

    Raises:
        Problem: 408, it does not come; 413, it is longer than allowed; 415, it is no JSON.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {"application/json", ""} and not media_type.endswith("+json"):
        raise Problem(415, "unsupported-media-type", "The body must be application/json.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "unsupported-media-type", "The body must not be compressed.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    body = bytearray()
    chunks = request.stream()
    try:
        async with asyncio.timeout(_WHOLE):
            while True:
                async with asyncio.timeout(_HALT):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return bytes(body)
                body += chunk
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise Problem(408, "request-timeout", "The body does not come.") from None


def _too_large(most: int) -> Problem:
    return Problem(413, "too-large", f"The body is larger than {most} bytes, the most allowed.")
