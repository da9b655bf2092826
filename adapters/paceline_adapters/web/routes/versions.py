"""Routes of versions: make artifacts again, list and restore versions."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from paceline import UsageError
from paceline.client.cluster_status import run_to_json
from paceline.contracts.storage.records import ENDED
from paceline.errors import RunNotFound

from paceline_adapters.web.backend import Backend
from paceline_adapters.web.models import ArtifactAnswer, RevisedRun, VersionList
from paceline_adapters.web.problems import invalid_request, responses
from paceline_adapters.web.request_body import read_json_body
from paceline_adapters.web.request_checks import Reading, RequestChecks, Writing
from paceline_adapters.web.revision_body import (
    RevisedArtifacts,
    parse_revision,
    revision_schema,
)
from paceline_adapters.web.routes.concepts import (
    MAX_VERSION,
    ConceptId,
    Concepts,
    version_facts,
)
from paceline_adapters.web.routes.runs import RunId, visible_run

_StepName = Annotated[str, Path(max_length=100, description="Name of the step.")]
_VERSION = Query(ge=1, le=MAX_VERSION, description="Number of the version.")
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Which artifacts to make again, and what to change.",
        "content": {"application/json": {"schema": revision_schema()}},
    }
}


def versions_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """Routes of versions. Include them before those of concepts, which have a catch-all path."""
    router = APIRouter(prefix="/api/runs/{run_id}", tags=["versions"], route_class=checks.route())
    errors = responses(400, 401, 404, 422, 429, 503)
    concepts = Concepts(backend)
    facts = partial(version_facts, currency=backend.settings.provider.currency)

    @router.post(
        "/revisions",
        openapi_extra=_BODY,
        responses={**errors, **responses(403, 408, 413, 415)},
    )
    async def revise_artifacts(caller: Writing, request: Request, run_id: RunId) -> RevisedRun:
        """Make artifacts again: those that are listed, or all that are selected.

        Readers see the current version until the new one is saved.
        """
        before = await visible_run(backend, caller, run_id)
        wish = parse_revision(
            await read_json_body(request, max_bytes=backend.settings.web.max_body)
        )
        client = caller.client(backend.client)
        try:
            if isinstance(wish, RevisedArtifacts):
                places = [(one.concept_id, one.step) for one in wish.artifacts]
            else:
                places = list(await client.select(run_id, step=wish.step, where=wish.where))
            if wish.dry_run or not places:
                run = before
                made = await client.revised(run_id, places, downstream=wish.downstream)
            else:
                run, made = await client.revise(
                    run_id,
                    places,
                    instruction=wish.instruction,
                    downstream=wish.downstream,
                    requested_by=wish.requested_by,
                )
        except RunNotFound:
            raise
        except UsageError as error:  # the run has no such concept or step
            raise invalid_request([str(error)]) from None
        submitted = None
        if made and not wish.dry_run:
            submitted = "resumed" if before.status in ENDED else "attached"
            backend.hub.run_changed(run)
        return RevisedRun.model_validate(
            {
                "submitted": submitted,
                "run": run_to_json(run),
                "artifacts": [
                    {"concept_id": concept_id, "step": step} for concept_id, step in made
                ],
            }
        )

    @router.get(
        "/concepts/{concept_id:path}/artifacts/{step}/versions",
        response_model_exclude_unset=True,
        responses=errors,
    )
    async def list_versions(
        caller: Reading,
        run_id: RunId,
        concept_id: ConceptId,
        step: _StepName,
        *,
        content: Annotated[
            bool, Query(description="Also show what each version contains.")
        ] = False,
    ) -> VersionList:
        """List all versions of an artifact by number."""
        run = await visible_run(backend, caller, run_id)
        versions = [facts(one) for one in await concepts.versions(run, concept_id, step)]
        if not content:
            for one in versions:
                del one["content"]
        return VersionList.model_validate({"versions": versions})

    @router.post(
        "/concepts/{concept_id:path}/artifacts/{step}/restore",
        responses={**errors, **responses(403)},
    )
    async def restore_version(
        caller: Writing,
        run_id: RunId,
        concept_id: ConceptId,
        step: _StepName,
        version: Annotated[int, _VERSION],
    ) -> ArtifactAnswer:
        """Make an older version current again; nothing is generated.

        A revision of the artifact that is not made yet is withdrawn. Artifacts that were made
        from it become stale.
        """
        run = await visible_run(backend, caller, run_id)
        await concepts.versions(run, concept_id, step)
        restored = await caller.client(backend.client).restore(run_id, concept_id, step, version)
        return ArtifactAnswer.model_validate(facts(restored))

    @router.get("/concepts/{concept_id:path}/artifacts/{step}/restore", include_in_schema=False)
    async def refuse_get_of_restore(_: Reading) -> None:
        # Else the catch-all path of concepts would take the end of this path for a concept's id.
        raise HTTPException(405, headers={"allow": "POST"})

    return router
