"""Runs: submit, list, look, cancel, resume, retry."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from paceline import Roadmap, Run, RunNotFound
from paceline.client.cluster_status import run_to_json
from paceline.client.render import dead_letter_to_json
from paceline.contracts.records import RunStatus

from paceline_adapters.web.access import Caller
from paceline_adapters.web.backend import Backend
from paceline_adapters.web.bodies import body_schema, bounded_body, parse_submission
from paceline_adapters.web.gate import Gate, Reading, Writing
from paceline_adapters.web.models import RetriedRun, RunPage, RunWithTotals, SubmittedRun
from paceline_adapters.web.problems import responses

MOST_OF_A_PAGE = 1000
#: What an id in a path or a query may be: longer ones are of nothing that there is.
RunId = Annotated[str, Path(max_length=200, description="The run.")]

_SUBMIT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The roadmap, alone or with its weight.",
        "content": {"application/json": {"schema": body_schema()}},
    }
}


async def found(backend: Backend, caller: Caller, run_id: str) -> Run:
    """A run that the caller may see.

    Raises:
        RunNotFound: there is none, or it is somebody else's.
    """
    run = await backend.store.run(run_id)
    if not caller.sees(run):
        raise RunNotFound(f"no run has the id {run_id!r}")
    return run


def runs_router(backend: Backend, gate: Gate) -> APIRouter:
    """Routes of runs."""
    router = APIRouter(prefix="/api/runs", tags=["runs"], route_class=gate.route())
    common = responses(400, 401, 429, 503)
    parsing = asyncio.Lock()

    @router.get("", responses={**common, **responses(404, 422)})
    async def list_runs(
        caller: Reading,
        status: Annotated[list[RunStatus] | None, Query(description="Only these.")] = None,
        roadmap_id: Annotated[
            str | None, Query(max_length=200, description="Only of this roadmap.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_OF_A_PAGE, description="Most of a page.")] = 50,
        before: Annotated[
            str | None, Query(max_length=200, description="The last run of the page before.")
        ] = None,
    ) -> RunPage:
        """List runs, newest first."""
        if before is not None:
            await found(backend, caller, before)
        page = await backend.store.runs(
            status=status or (),
            roadmap_id=roadmap_id,
            tenants=caller.tenants,
            limit=limit,
            before=before,
        )
        more = page[-1].run_id if len(page) == limit else None
        return RunPage.model_validate({"runs": [run_to_json(run) for run in page], "before": more})

    @router.post(
        "",
        status_code=201,
        openapi_extra=_SUBMIT,
        responses={
            200: {"model": SubmittedRun, "description": "The key's run, submitted before"},
            **common,
            **responses(403, 408, 413, 415, 422),
        },
    )
    async def submit_roadmap(
        caller: Writing,
        request: Request,
        response: Response,
        idempotency_key: Annotated[
            str | None,
            Header(
                min_length=1,
                max_length=200,
                pattern=r"^[\x21-\x7e]+$",
                description="The same key with the same body is the same run, once.",
            ),
        ] = None,
    ) -> SubmittedRun:
        """Submit a roadmap: a new run, or the run that was made under the same key."""
        raw = await bounded_body(request, most=backend.settings.web.max_body)
        async with parsing:
            # Beside the event loop: others are answered meanwhile. One after the other: what is
            # decoded takes many times the memory of the body.
            roadmap, weight = await asyncio.to_thread(parse_submission, raw)
        key = None if idempotency_key is None else f"{caller.tenant} {idempotency_key}"
        share = caller.share(weight)
        run, what = await backend.service.submit(roadmap, new=True, key=key, share=share)
        backend.hub.saw(run)
        response.status_code = 201 if what == "created" else 200
        response.headers["Location"] = f"{request.url.path}/{run.run_id}"
        return SubmittedRun.model_validate({"submitted": what, "run": run_to_json(run)})

    @router.get("/{run_id}", responses={**common, **responses(404, 422)})
    async def get_run(caller: Reading, run_id: RunId) -> RunWithTotals:
        """Show one run."""
        run = await found(backend, caller, run_id)
        prompts, completions, cost = await backend.store.totals(run_id)
        channel = backend.hub.known(run_id)
        return RunWithTotals.model_validate(
            {
                **run_to_json(run),
                "prompt_tokens": prompts,
                "completion_tokens": completions,
                "cost": cost,
                "generating": 0 if channel is None else len(channel.generating),
            }
        )

    @router.get(
        "/{run_id}/roadmap", response_model=Roadmap, responses={**common, **responses(404, 422)}
    )
    async def get_roadmap(caller: Reading, run_id: RunId) -> Response:
        """Show the roadmap as it was submitted."""
        await found(backend, caller, run_id)
        roadmap = await backend.store.roadmap(run_id)
        # It was checked when it came; to check it again would hold up everybody.
        return Response(roadmap.model_dump_json(), media_type="application/json")

    @router.post("/{run_id}/cancel", responses={**common, **responses(403, 404, 422)})
    async def cancel_run(caller: Writing, run_id: RunId) -> SubmittedRun:
        """Cancel a run: at once if it waits, within seconds if it is being worked on."""
        await found(backend, caller, run_id)
        run = await backend.service.cancel(run_id)
        backend.hub.saw(run)
        return SubmittedRun.model_validate({"submitted": "attached", "run": run_to_json(run)})

    @router.post("/{run_id}/resume", responses={**common, **responses(403, 404, 422)})
    async def resume_run(caller: Writing, run_id: RunId) -> SubmittedRun:
        """Go on with a run: what it has stays, what failed or is missing is made."""
        await found(backend, caller, run_id)
        run, what = await backend.service.resume(run_id)
        backend.hub.saw(run)
        return SubmittedRun.model_validate({"submitted": what, "run": run_to_json(run)})

    @router.post("/{run_id}/retry", responses={**common, **responses(403, 404, 409, 422)})
    async def retry_run(caller: Writing, run_id: RunId) -> RetriedRun:
        """Give what failed another chance, and say why it failed."""
        await found(backend, caller, run_id)
        retried = await backend.service.retry(run_id)
        backend.hub.saw(retried.run)
        return RetriedRun.model_validate(
            {
                "run": run_to_json(retried.run),
                "missing": retried.missing,
                "dead_letters": [dead_letter_to_json(letter) for letter in retried.letters],
            }
        )

    return router
