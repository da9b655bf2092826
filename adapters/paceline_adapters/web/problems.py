"""Errors as problem details (RFC 9457); they reveal nothing of the code."""

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi.exceptions import RequestValidationError
from paceline import (
    ContextError,
    KeyReused,
    PacelineError,
    PartUnavailable,
    RoadmapError,
    RunConflict,
    RunNotFound,
    UsageError,
)
from paceline.client.client import NothingToResume
from paceline.client.content.revising import NoSuchVersion
from paceline.client.submission import SubmissionError
from paceline.errors import NotAllowed, RunInWork, ScopeError
from paceline.text import count
from paceline.validation import dotted
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

log = logging.getLogger("paceline.web")

MEDIA_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[PacelineError], int], ...] = (
    (RunNotFound, 404),
    (NoSuchVersion, 404),
    (RunConflict, 409),
    (NothingToResume, 409),
    (RunInWork, 409),
    (KeyReused, 422),
    (RoadmapError, 422),
    (ScopeError, 422),
    (NotAllowed, 403),
    (UsageError, 400),
    (PartUnavailable, 503),
)
#: Seconds after which a client may retry if a part cannot be reached.
_RETRY_AFTER = "5"
#: Maximum number of faults in one answer.
_MAX_FAULTS = 50


class ProblemDetails(BaseModel):
    """Why a request failed."""

    type: Annotated[str, Field(description="The kind of problem, as a URI.")]
    title: Annotated[str, Field(description="The kind of problem in words.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    detail: Annotated[str, Field(description="What went wrong in this request.")]
    faults: Annotated[
        list[str] | None,
        Field(description="One line per fault of the request, each with its place."),
    ] = None


class Problem(Exception):
    """An error that a client receives as problem details.

    Args:
        kind: the kind of problem, as words joined by ``-``.
        faults: one line per fault of the request.
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
        """The answer."""
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
    """The problem that a client receives for an error. Unexpected errors go only to the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return invalid_request([f"{dotted(one['loc'])}: {one['msg']}" for one in error.errors()])
    if isinstance(error, SubmissionError | ContextError):
        return invalid_request(error.faults)
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        kind = phrase.lower().replace(" ", "-")
        return Problem(error.status_code, kind, f"{error.detail}.", headers=error.headers)
    if isinstance(error, RoadmapError):
        detail = f"The roadmap is not valid: {count(len(error.faults), 'fault')}."
        return Problem(422, "roadmap-error", detail, faults=error.faults[:_MAX_FAULTS])
    if isinstance(error, PacelineError):
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        headers = {"Retry-After": _RETRY_AFTER} if status == 503 else None
        return Problem(status, _words(type(error).__name__), str(error), headers=headers)
    log.error("a request failed", exc_info=error)
    return Problem(500, "internal-error", "The server failed; its log has the error.")


def invalid_request(faults: Sequence[str]) -> Problem:
    """The problem of a request with these faults, one line each."""
    detail = "; ".join(faults[:3])
    return Problem(422, "invalid-request", detail, faults=tuple(faults[:_MAX_FAULTS]))


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The problem answers of a route, for the OpenAPI document."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "model": ProblemDetails,
            "content": {MEDIA_TYPE: schema},
        }
        for status in statuses
    }
