"""Errors as problem details (RFC 9457): what went wrong, and nothing of where in our code."""

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi.exceptions import RequestValidationError
from paceline import (
    KeyReused,
    PacelineError,
    PartUnavailable,
    RoadmapError,
    RunConflict,
    RunNotFound,
    UsageError,
)
from paceline.client.client import NothingToRetry
from paceline.text import count
from paceline.validation import dotted
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

log = logging.getLogger("paceline.web")

MEDIA_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[PacelineError], int], ...] = (
    (RunNotFound, 404),
    (RunConflict, 409),
    (NothingToRetry, 409),
    (KeyReused, 422),
    (RoadmapError, 422),
    (UsageError, 400),
    (PartUnavailable, 503),
)
#: Seconds after which a client may ask again where a part is away.
_RETRY_AFTER = "5"
#: Faults of one answer.
_MOST_FAULTS = 50


class ProblemDetails(BaseModel):
    """What went wrong.

    Attributes:
        type: what kind of problem, as a URI.
        title: the same in words.
        status: the HTTP status.
        detail: what went wrong this time, for a person.
        faults: each fault of what was sent, with its place.
    """

    type: Annotated[str, Field(description="Which kind of problem, as a URI.")]
    title: Annotated[str, Field(description="The same in words.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    detail: Annotated[str, Field(description="What went wrong this time.")]
    faults: Annotated[
        list[str] | None, Field(description="Each fault of what was sent, with its place.")
    ] = None


class Problem(Exception):
    """An answer that tells what went wrong.

    Args:
        status: HTTP status.
        kind: the problem's name, words joined by ``-``.
        detail: what went wrong, for a person.
        headers: further headers.
        faults: each fault of what was sent.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        faults: tuple[str, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.headers = dict(headers or {})
        self.faults = faults

    def response(self) -> Response:
        """The answer itself."""
        details = ProblemDetails(
            type=f"urn:paceline:{self.kind}",
            title=self.kind.replace("-", " ").capitalize(),
            status=self.status,
            detail=str(self),
            faults=list(self.faults) or None,
        )
        return JSONResponse(
            details.model_dump(exclude_none=True),
            self.status,
            headers={**self.headers, "Cache-Control": "no-store"},
            media_type=MEDIA_TYPE,
        )


def problem_of(error: Exception) -> Problem:
    """What a client is told of an error; what nobody expected is told to the log alone."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        kind = phrase.lower().replace(" ", "-")
        return Problem(error.status_code, kind, f"{error.detail}.", headers=error.headers)
    if isinstance(error, RoadmapError):
        detail = f"The roadmap is not valid: {count(len(error.faults), 'fault')}."
        return Problem(422, "roadmap-error", detail, faults=error.faults[:_MOST_FAULTS])
    if isinstance(error, PacelineError):
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        headers = {"Retry-After": _RETRY_AFTER} if status == 503 else None
        return Problem(status, _words(type(error).__name__), str(error), headers=headers)
    log.error("an answer failed", exc_info=error)
    return Problem(500, "internal-error", "Something went wrong here; the log says what.")


def _invalid(error: RequestValidationError) -> Problem:
    return invalid([f"{dotted(one['loc'])}: {one['msg']}" for one in error.errors()])


def invalid(faults: Sequence[str]) -> Problem:
    """What was sent is not valid; each fault with its place."""
    detail = "; ".join(faults[:3])
    return Problem(422, "invalid-request", detail, faults=tuple(faults[:_MOST_FAULTS]))


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    """What an OpenAPI document says of these statuses."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "model": ProblemDetails,
            "content": {MEDIA_TYPE: schema},
        }
        for status in statuses
    }
