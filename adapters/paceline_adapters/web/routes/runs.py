"""Routes of runs: submit, list, show, cancel, resume, delete."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from paceline import Roadmap, Run, RunNotFound
from paceline.client.client import NothingToResume
from paceline.client.cluster_status import run_to_json, run_with_context, why_run_waits
from paceline.client.render import dead_letter_to_json, spending_to_json, steps_of
from paceline.client.submission import parse_submission
from paceline.contracts.scope import FORMS
from paceline.contracts.share import Priority, stored_names
from paceline.contracts.storage.budgets import MAX_BUDGET
from paceline.contracts.storage.records import RESUMABLE, ResumeOnly, RunStatus
from paceline.contracts.storage.run_search import RunSearch, RunTotals

from paceline_adapters.web.auth import Caller
from paceline_adapters.web.backend import Backend
from paceline_adapters.web.models import ResumedRun, RunPage, RunWithTotals, SubmittedRun
from paceline_adapters.web.problems import responses
from paceline_adapters.web.request_body import body_schema, is_yaml, read_body
from paceline_adapters.web.request_checks import Reading, RequestChecks, Writing

MAX_PAGE = 1000
Order = Literal["newest", "oldest"]
RunId = Annotated[str, Path(max_length=200, description="Id of the run.")]

_SUBMIT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The roadmap, alone or with the weight, context and scope of its run.",
        "content": {
            "application/json": {"schema": body_schema()},
            "application/yaml": {"schema": body_schema()},
        },
    }
}


async def visible_run(backend: Backend, caller: Caller, run_id: str) -> Run:
    """A run that the caller may see.

    Raises:
        RunNotFound: there is no such run, or it belongs to another tenant.
    """
    return await caller.client(backend.client).run(run_id)


def listed(
    backend: Backend, run: Run, totals: RunTotals | None, eta: float | None
) -> dict[str, object]:
    """A run of a list."""
    if totals is None:
        return run_to_json(run, eta)
    return {
        **run_to_json(run, eta),
        "artifacts": totals.artifacts,
        "artifacts_total": run.total * len(steps_of(backend.settings, run)),
        "cost": totals.spent.cost,
        "estimated": totals.spent.estimated,
        "currency": backend.settings.provider.currency,
    }


def _in_utc(moment: datetime | None) -> datetime | None:
    """A time; one without a zone is in UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def runs_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """Routes of runs."""
    router = APIRouter(prefix="/api/runs", tags=["runs"], route_class=checks.route())
    common = responses(400, 401, 429, 503)
    parsing = asyncio.Lock()

    @router.get("", responses={**common, **responses(404, 422)})
    async def list_runs(
        caller: Reading,
        status: Annotated[
            list[RunStatus] | None, Query(description="Only runs with one of these statuses.")
        ] = None,
        roadmap_id: Annotated[
            str | None, Query(max_length=200, description="Only runs of this roadmap.")
        ] = None,
        limit: Annotated[
            int, Query(ge=1, le=MAX_PAGE, description="Maximum number of runs to list.")
        ] = 50,
        before: Annotated[
            str | None,
            Query(max_length=200, description="Only runs after this one in the list."),
        ] = None,
        q: Annotated[
            str,
            Query(
                max_length=200,
                description="Part of the title or roadmap id, or beginning of the run id.",
            ),
        ] = "",
        tenant: Annotated[
            str | None, Query(max_length=200, description="Only runs of this tenant.")
        ] = None,
        since: Annotated[
            datetime | None, Query(description="Only runs submitted at this time or later.")
        ] = None,
        until: Annotated[
            datetime | None, Query(description="Only runs submitted before this time.")
        ] = None,
        order: Annotated[Order, Query(description="Which run comes first.")] = "newest",
        totals: Annotated[
            bool, Query(description="Also count the artifacts and sum up the cost of each run.")
        ] = False,
    ) -> RunPage:
        """List runs, newest first unless `order` says otherwise.

        A search with `q` looks at 2000 runs per page. If `before` is not null, there may be more.
        """
        if before is not None:
            await visible_run(backend, caller, before)
        search = RunSearch(
            text=q,
            status=tuple(status or ()),
            roadmap_id=roadmap_id,
            tenants=stored_names(tenant),
            since=_in_utc(since),
            until=_in_utc(until),
            oldest_first=order == "oldest",
        )
        client = caller.client(backend.client)
        page = await client.find_runs(search, limit=limit, after=before, totals=totals)
        left = await backend.estimator.seconds_left(page.runs)
        return RunPage.model_validate(
            {
                "runs": [
                    listed(backend, run, page.totals.get(run.run_id), left.get(run.run_id))
                    for run in page.runs
                ],
                "before": page.cursor,
            }
        )

    @router.post(
        "",
        status_code=201,
        openapi_extra=_SUBMIT,
        responses={
            200: {"model": SubmittedRun, "description": "The run submitted with the same key"},
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
                description="A second submission with the same key and body returns the same run.",
            ),
        ] = None,
        priority: Annotated[
            Priority | None,
            Query(description="How urgent the run is; replaces the priority of the body."),
        ] = None,
    ) -> SubmittedRun:
        """Submit a roadmap: start a new run, or return the run with the same key."""
        raw = await read_body(request, max_bytes=backend.settings.web.max_body)
        yaml_allowed = is_yaml(request)
        async with parsing:
            # In a thread, so that the event loop answers other clients meanwhile. One at a time,
            # because decoding takes many times the memory of the body.
            roadmap, share, asked = await asyncio.to_thread(
                parse_submission, raw, yaml_allowed=yaml_allowed
            )
        if priority is not None:
            share = replace(share, priority=priority)
        run, submitted = await caller.client(backend.client).submit(
            roadmap,
            new=True,
            key=idempotency_key,
            share=share,
            context=asked.context,
            steps=asked.steps,
            only=asked.only,
            budget=asked.budget,
        )
        backend.hub.run_changed(run)
        response.status_code = 201 if submitted == "created" else 200
        response.headers["Location"] = f"{request.url.path}/{run.run_id}"
        return SubmittedRun.model_validate({"submitted": submitted, "run": run_to_json(run)})

    @router.get("/{run_id}", responses={**common, **responses(404, 422)})
    async def get_run(caller: Reading, run_id: RunId) -> RunWithTotals:
        """Show one run."""
        run = await visible_run(backend, caller, run_id)
        spending = await backend.store.spending(run_id)
        channel = backend.hub.channel(run_id)
        left = await backend.estimator.seconds_left([run])
        made = await backend.store.artifact_steps(run_id)
        return RunWithTotals.model_validate(
            {
                **run_with_context(run, left.get(run_id)),
                "waits": why_run_waits(run, await backend.store.controls()),
                **spending_to_json(spending, backend.settings.provider.currency),
                "generating": 0 if channel is None else len(channel.generating),
                "artifacts": sum(map(len, made.values())),
                "artifacts_total": run.total * len(steps_of(backend.settings, run)),
            }
        )

    @router.get(
        "/{run_id}/roadmap", response_model=Roadmap, responses={**common, **responses(404, 422)}
    )
    async def get_roadmap(caller: Reading, run_id: RunId) -> Response:
        """Show the roadmap as it was submitted."""
        await visible_run(backend, caller, run_id)
        roadmap = await backend.store.roadmap(run_id)
        # It was validated at submission; validating it again would block the event loop.
        return Response(roadmap.model_dump_json(), media_type="application/json")

    def steered(run: Run) -> SubmittedRun:
        backend.hub.run_changed(run)
        return SubmittedRun.model_validate({"submitted": "attached", "run": run_to_json(run)})

    @router.post("/{run_id}/cancel", responses={**common, **responses(403, 404, 422)})
    async def cancel_run(caller: Writing, run_id: RunId) -> SubmittedRun:
        """Cancel a run: at once if it is queued, within seconds if a worker works on it."""
        client = caller.client(backend.client)
        return steered(await client.cancel(run_id, by=caller.actor))

    @router.post("/{run_id}/pause", responses={**common, **responses(403, 404, 422)})
    async def pause_run(caller: Writing, run_id: RunId) -> SubmittedRun:
        """Pause a run: at once if it is queued, after its calls in flight if it is running."""
        client = caller.client(backend.client)
        return steered(await client.pause(run_id, by=caller.actor))

    @router.delete(
        "/{run_id}", status_code=204, responses={**common, **responses(403, 404, 409, 422)}
    )
    async def delete_run(caller: Writing, run_id: RunId) -> None:
        """Delete a run with everything that belongs to it. A running run must end first."""
        client = caller.client(backend.client)
        try:
            run = await client.run(run_id)
        except RunNotFound:
            await client.purge(run_id)  # an interrupted purge is continued
            return
        await client.purge(run_id)
        backend.hub.run_purged(run)

    async def resumed(
        caller: Caller,
        run_id: str,
        only: ResumeOnly | None,
        steps: list[str] | None = None,
        also: list[str] | None = None,
        budget: float | None = None,
    ) -> ResumedRun:
        await visible_run(backend, caller, run_id)
        states = await backend.store.concepts(run_id)
        run, submitted = await caller.client(backend.client).resume(
            run_id, only=only, steps=steps, also=also, budget=budget, by=caller.actor
        )
        backend.hub.run_changed(run)
        return ResumedRun.model_validate(
            {
                "submitted": submitted,
                "run": run_to_json(run),
                "missing": sum(one.status in ("pending", "skipped") for one in states),
                "dead_letters": [
                    dead_letter_to_json(one) for one in states if one.status == "failed"
                ],
            }
        )

    @router.post("/{run_id}/resume", responses={**common, **responses(403, 404, 409, 422)})
    async def resume_run(
        caller: Writing,
        run_id: RunId,
        only: Annotated[
            ResumeOnly | None,
            Query(description="Generate only the failed, or only the missing concepts."),
        ] = None,
        steps: Annotated[
            list[str] | None, Query(max_length=100, description="Steps to add to the run.")
        ] = None,
        also: Annotated[
            list[str] | None,
            Query(max_length=1000, description=f"Parts of the roadmap to add: {FORMS}."),
        ] = None,
        budget: Annotated[
            float | None,
            Query(
                gt=0,
                le=MAX_BUDGET,
                allow_inf_nan=False,
                description="What the run may cost in all, with what it has cost so far.",
            ),
        ] = None,
    ) -> ResumedRun:
        """Resume a run: keep its artifacts, generate its failed and missing concepts."""
        return await resumed(caller, run_id, only, steps, also, budget)

    @router.post(
        "/{run_id}/retry", deprecated=True, responses={**common, **responses(403, 404, 409, 422)}
    )
    async def retry_run(caller: Writing, run_id: RunId) -> ResumedRun:
        """Old name of `resume`, for ended runs; the next release removes it."""
        run = await visible_run(backend, caller, run_id)
        if run.status not in RESUMABLE:
            raise NothingToResume(f"run {run_id} is {run.status}: there is nothing to retry")
        return await resumed(caller, run_id, None)

    return router
