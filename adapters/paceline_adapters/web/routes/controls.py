"""Routes of controls: pauses, limits, drained workers, and the audit log.

A caller of a tenant pauses and resumes its own tenant. The rest needs an operator's token, or a
server without tokens.
"""

from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from paceline.contracts.controls import MAX_KEY, MAX_REASON, Pause
from paceline.validation import describe
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paceline_adapters.web.auth import Caller
from paceline_adapters.web.backend import Backend
from paceline_adapters.web.models import AuditPage, ControlsAnswer
from paceline_adapters.web.problems import invalid_request, responses
from paceline_adapters.web.request_body import read_json_body
from paceline_adapters.web.request_checks import Reading, RequestChecks, Writing

#: Maximum size of a body, in bytes.
_MAX_BODY = 16_384


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ResumeBody(_Body):
    """What to resume."""

    target: Annotated[
        str,
        Field(
            max_length=MAX_KEY + 20,
            pattern=r"^(everything|tenant:.+|key:.+)$",
            description="`everything`, `tenant:NAME`, `key:openai:gpt-4o` or `key:resource:NAME`.",
        ),
    ]


class PauseBody(ResumeBody):
    """What to pause, and why."""

    reason: Annotated[
        str, Field(max_length=MAX_REASON, description="Why; shown while it is paused.")
    ] = ""


class ResetBody(_Body):
    """A limit."""

    limit: Annotated[
        str, Field(min_length=1, max_length=MAX_KEY, description="`global`, or `resource:NAME`.")
    ]
    key: Annotated[
        str,
        Field(max_length=MAX_KEY, description="The model, as `openai:gpt-4o`; empty for all."),
    ] = ""


class LimitBody(ResetBody):
    """New numbers of a limit."""

    values: Annotated[
        dict[str, int],
        Field(
            min_length=1,
            max_length=3,
            description="`concurrency`, `requests_per_minute`, `tokens_per_minute`.",
        ),
    ]


class DrainBody(_Body):
    """A worker."""

    worker_id: Annotated[str, Field(min_length=1, max_length=MAX_KEY)]


BodyT = TypeVar("BodyT", bound=_Body)


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


async def _read(request: Request, model: type[BodyT]) -> BodyT:
    raw = await read_json_body(request, max_bytes=_MAX_BODY)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise invalid_request(describe(error)) from None


def controls_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """Routes of controls."""
    router = APIRouter(prefix="/api/controls", tags=["controls"], route_class=checks.route())
    reading = responses(400, 401, 422, 429, 503)
    changing = {**reading, **responses(403, 408, 413, 415)}

    async def shown(caller: Caller) -> ControlsAnswer:
        client = caller.controlling(backend.client)
        controls = await client.controls()
        return ControlsAnswer.model_validate(
            {
                "version": controls.version,
                "pauses": [_pause(one) for one in controls.pauses],
                "limits": [one.to_json() for one in await client.limits()],
            }
        )

    @router.get("", responses=reading)
    async def show_controls(caller: Reading) -> ControlsAnswer:
        """Show what is paused, and each limit over all workers with its use."""
        return await shown(caller)

    @router.get("/log", responses=reading)
    async def show_log(
        caller: Reading,
        limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of lines.")] = 100,
        before: Annotated[
            int | None, Query(ge=1, le=2**62, description="Only lines with a smaller number.")
        ] = None,
    ) -> AuditPage:
        """Show who changed what, newest first; a tenant sees what concerns it."""
        client = caller.controlling(backend.client)
        lines = await client.audit_log(limit=limit, before=before)
        last = lines[-1].number if len(lines) == limit else None
        shown = [{**asdict(one), "tenant": one.tenant or None} for one in lines]
        return AuditPage.model_validate({"entries": shown, "before": last})

    @router.post("/pause", responses=changing, openapi_extra=_schema(PauseBody))
    async def pause_work(caller: Writing, request: Request) -> ControlsAnswer:
        """Start no new calls of a target; calls in flight end and are saved."""
        body = await _read(request, PauseBody)
        client = caller.controlling(backend.client)
        await client.pause_work(body.target, reason=body.reason, by=caller.actor)
        return await shown(caller)

    @router.post("/resume", responses=changing, openapi_extra=_schema(ResumeBody))
    async def resume_work(caller: Writing, request: Request) -> ControlsAnswer:
        """Lift a pause."""
        body = await _read(request, ResumeBody)
        await caller.controlling(backend.client).resume_work(body.target, by=caller.actor)
        return await shown(caller)

    @router.post("/limits", responses=changing, openapi_extra=_schema(LimitBody))
    async def set_limits(caller: Writing, request: Request) -> ControlsAnswer:
        """Replace numbers of a limit over all workers, until they are reset."""
        body = await _read(request, LimitBody)
        client = caller.controlling(backend.client)
        await client.set_limits(body.limit, body.values, key=body.key, by=caller.actor)
        return await shown(caller)

    @router.post("/limits/reset", responses=changing, openapi_extra=_schema(ResetBody))
    async def reset_limits(caller: Writing, request: Request) -> ControlsAnswer:
        """Return to the numbers of the settings."""
        body = await _read(request, ResetBody)
        client = caller.controlling(backend.client)
        await client.reset_limits(body.limit, key=body.key, by=caller.actor)
        return await shown(caller)

    @router.post("/drain", responses=changing, openapi_extra=_schema(DrainBody))
    async def drain_worker(caller: Writing, request: Request) -> ControlsAnswer:
        """Ask a worker to save its calls in flight, queue its runs again, and exit."""
        body = await _read(request, DrainBody)
        client = caller.controlling(backend.client)
        await client.drain_worker(body.worker_id, by=caller.actor)
        return await shown(caller)

    return router


def _pause(pause: Pause) -> dict[str, object]:
    return {
        "target": str(pause.target),
        "scope": pause.target.scope,
        "name": pause.target.name or None,
        "reason": pause.reason,
        "by": pause.by,
        "at": pause.at,
        "state": pause.describe(),
    }
