"""The route of a run's timeline."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from paceline.client.run_log import step_to_json
from paceline.contracts.storage.timeline import StepTimes

from paceline_adapters.web.backend import Backend
from paceline_adapters.web.models import TimelineAnswer
from paceline_adapters.web.problems import Problem, responses
from paceline_adapters.web.request_checks import Reading, RequestChecks
from paceline_adapters.web.routes.runs import RunId, visible_run

#: Maximum number of concepts of one answer.
MAX_CONCEPTS = 500


def timeline_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """The route of a run's timeline."""
    router = APIRouter(prefix="/api/runs/{run_id}", tags=["runs"], route_class=checks.route())

    @router.get("/timeline", responses=responses(400, 401, 404, 422, 429, 503))
    async def show_timeline(
        caller: Reading,
        run_id: RunId,
        limit: Annotated[
            int, Query(ge=1, le=MAX_CONCEPTS, description="Maximum number of concepts to list.")
        ] = 200,
        after: Annotated[
            str | None, Query(max_length=400, description="Only concepts after this one.")
        ] = None,
    ) -> TimelineAnswer:
        """Show when the steps of each concept waited, called and were saved."""
        run = await visible_run(backend, caller, run_id)
        places = await backend.names.of(run_id)
        if after is not None and after not in places:
            raise Problem(404, "concept-not-found", f"Run {run.run_id} has no concept {after!r}.")
        states = await backend.store.concepts(run_id, limit=limit, after=after)
        times: dict[str, list[StepTimes]] = defaultdict(list)
        listed = [one.concept_id for one in states]
        for one in await backend.store.timeline(run_id, concepts=listed):
            times[one.concept_id].append(one)
        concepts = [
            {
                "concept_id": state.concept_id,
                "name": places[state.concept_id].name,
                "status": state.status,
                "reason": state.reason,
                "steps": [step_to_json(one) for one in times[state.concept_id]],
            }
            for state in states
        ]
        last = states[-1].concept_id if len(states) == limit else None
        return TimelineAnswer.model_validate(
            {"now": datetime.now(UTC), "concepts": concepts, "after": last}
        )

    return router
