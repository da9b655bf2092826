"""Routes of the concepts of a run and their artifacts."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from paceline import Artifact, ConceptState, Run
from paceline.client.content.revising import version_of
from paceline.client.render import concept_to_json, in_order, version_to_json
from paceline.contracts.storage.records import ConceptStatus
from paceline.contracts.storage.versions import ArtifactMark

from paceline_adapters.markup import to_html
from paceline_adapters.web.auth import Caller
from paceline_adapters.web.backend import Backend
from paceline_adapters.web.models import (
    ArtifactAnswer,
    ArtifactList,
    ConceptPage,
    ConceptWithArtifacts,
)
from paceline_adapters.web.problems import Problem, responses
from paceline_adapters.web.request_checks import Reading, RequestChecks
from paceline_adapters.web.routes.runs import MAX_PAGE, RunId, visible_run

Format = Literal["json", "md", "html"]
ConceptId = Annotated[str, Path(max_length=400, description="Id of the concept.")]
StepName = Annotated[
    str,
    Path(
        max_length=100, description="Name of the step. Append `.md` or `.html` to get that format."
    ),
]

#: Maximum number of a version: what the database can hold.
MAX_VERSION = 2**31 - 1

_MEDIA: dict[Format, str] = {
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
}
_TEXT = {"schema": {"type": "string"}}


class Concepts:
    """Reads concepts of a run, and whether each is in flight."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def page(
        self, run: Run, *, status: list[ConceptStatus], limit: int, after: str | None
    ) -> dict[str, object]:
        """One page of concepts, after the concept ``after``."""
        backend = self._backend
        if after is not None and after not in await backend.names.of(run.run_id):
            raise _no_concept(run, after)
        states = await backend.store.concepts(run.run_id, status=status, limit=limit, after=after)
        marks: dict[str, list[ArtifactMark]] = defaultdict(list)
        for mark in await backend.store.marks(
            run.run_id, concepts=[one.concept_id for one in states]
        ):
            marks[mark.concept_id].append(mark)
        concepts = [await self.without_content(run, one, marks[one.concept_id]) for one in states]
        last = states[-1].concept_id if len(states) == limit else None
        return {"concepts": concepts, "after": last}

    async def without_content(
        self, run: Run, state: ConceptState, made: Sequence[Artifact | ArtifactMark]
    ) -> dict[str, object]:
        """A concept without its artifacts."""
        backend = self._backend
        place = (await backend.names.of(run.run_id))[state.concept_id]
        channel = backend.hub.channel(run.run_id)
        steps = in_order(backend.settings, [one.step for one in made])
        stale = {one.step for one in made if one.stale}
        return {
            **concept_to_json(state, {state.concept_id: place.name}, steps),
            "stale": [step for step in steps if step in stale],
            "stage_id": place.stage_id,
            "module_id": place.module_id,
            "generating": channel is not None and state.concept_id in channel.generating,
        }

    async def artifacts(self, run: Run, concept_id: str, step: str | None = None) -> list[Artifact]:
        """The artifacts of a concept, in the order of the steps.

        Raises:
            Problem: 404, the run has no such concept.
        """
        await self._check(run, concept_id)
        artifacts = await self._backend.store.artifacts(
            run.run_id, concept_id=concept_id, step=step
        )
        return self._backend.reader.ordered(artifacts)

    async def versions(self, run: Run, concept_id: str, step: str) -> Sequence[Artifact]:
        """All versions of an artifact by number.

        Raises:
            Problem: 404, the run has no such concept, or the concept has no such artifact.
        """
        await self._check(run, concept_id)
        found = await self._backend.store.versions(run.run_id, concept_id, step)
        if not found:
            raise no_artifact(step)
        return found

    async def _check(self, run: Run, concept_id: str) -> None:
        if concept_id not in await self._backend.names.of(run.run_id):
            raise _no_concept(run, concept_id)


def concepts_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """Routes of concepts and artifacts."""
    router = APIRouter(
        prefix="/api/runs/{run_id}/concepts", tags=["concepts"], route_class=checks.route()
    )
    errors = responses(400, 401, 404, 422, 429, 503)
    concepts = Concepts(backend)

    async def run_of(caller: Caller, run_id: str) -> Run:
        return await visible_run(backend, caller, run_id)

    as_json = partial(version_facts, currency=backend.settings.provider.currency)

    @router.get("", responses=errors)
    async def list_concepts(
        caller: Reading,
        run_id: RunId,
        status: Annotated[
            list[ConceptStatus] | None,
            Query(description="Only concepts with one of these statuses."),
        ] = None,
        limit: Annotated[
            int, Query(ge=1, le=MAX_PAGE, description="Maximum number of concepts to list.")
        ] = 200,
        after: Annotated[
            str | None, Query(max_length=400, description="Only concepts after this one.")
        ] = None,
    ) -> ConceptPage:
        """List concepts in the roadmap's order."""
        run = await run_of(caller, run_id)
        return ConceptPage.model_validate(
            await concepts.page(run, status=status or [], limit=limit, after=after)
        )

    @router.get("/{concept_id:path}/artifacts", responses=errors)
    async def list_artifacts(caller: Reading, run_id: RunId, concept_id: ConceptId) -> ArtifactList:
        """Show all artifacts of a concept."""
        found = await concepts.artifacts(await run_of(caller, run_id), concept_id)
        return ArtifactList.model_validate({"artifacts": [as_json(one) for one in found]})

    @router.get(
        "/{concept_id:path}/artifacts/{step}",
        response_model=ArtifactAnswer,
        responses={
            200: {"content": {"text/markdown": _TEXT, "text/html": _TEXT}},
            **errors,
            **responses(406),
        },
    )
    async def get_artifact(
        caller: Reading,
        request: Request,
        run_id: RunId,
        concept_id: ConceptId,
        step: StepName,
        version: Annotated[
            int | None,
            Query(ge=1, le=MAX_VERSION, description="Number of a version; the current if missing."),
        ] = None,
    ) -> Response:
        """Show one artifact as JSON, Markdown or HTML, chosen by suffix or ``Accept``."""
        name, format_ = _format_of(step, request.headers.get("accept", "*/*"))
        run = await run_of(caller, run_id)
        if version is None:
            found = await concepts.artifacts(run, concept_id, name)
        else:
            found = [version_of(await concepts.versions(run, concept_id, name), version)]
        if not found:
            raise no_artifact(name)
        if format_ == "json":
            text = ArtifactAnswer.model_validate(as_json(found[0])).model_dump_json()
        else:
            text = backend.reader.markdown(found)
            text = to_html(text) if format_ == "html" else text
        return Response(text, media_type=_MEDIA[format_], headers={"Vary": "Accept"})

    @router.get("/{concept_id:path}", responses=errors)
    async def get_concept(
        caller: Reading, run_id: RunId, concept_id: ConceptId
    ) -> ConceptWithArtifacts:
        """Show a concept and all its artifacts."""
        run = await run_of(caller, run_id)
        state = await backend.store.concept(run_id, concept_id)
        if state is None:
            raise _no_concept(run, concept_id)
        found = await concepts.artifacts(run, concept_id)
        concept = await concepts.without_content(run, state, found)
        return ConceptWithArtifacts.model_validate(
            {
                **concept,
                "last_answer": state.last_answer,
                "artifacts": [as_json(one) for one in found],
            }
        )

    return router


def _format_of(step: str, accept: str) -> tuple[str, Format]:
    """A step's name, and the format of its suffix or else of the ``Accept`` header."""
    for format_ in _MEDIA:
        if step.endswith(f".{format_}"):
            return step.removesuffix(f".{format_}"), format_
    wanted = sorted((part.partition(";") for part in accept.split(",")), key=_quality, reverse=True)
    for media, _, _ in wanted:
        kind = media.strip().lower()
        if kind in ("*/*", "application/*", "application/json", ""):
            return step, "json"
        if kind in ("text/*", "text/markdown", "text/plain"):
            return step, "md"
        if kind == "text/html":
            return step, "html"
    raise Problem(
        406, "not-acceptable", "Available types: application/json, text/markdown and text/html."
    )


def _quality(part: tuple[str, str, str]) -> float:
    for parameter in part[2].split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def version_facts(artifact: Artifact, currency: str) -> dict[str, object]:
    """An artifact for the API."""
    return {**version_to_json(artifact, currency), "changes": artifact.changes}


def no_artifact(step: str) -> Problem:
    """The problem of an artifact that does not exist."""
    return Problem(404, "artifact-not-found", f"The concept has no artifact {step!r}.")


def _no_concept(run: Run, concept_id: str) -> Problem:
    return Problem(404, "concept-not-found", f"Run {run.run_id} has no concept {concept_id!r}.")
