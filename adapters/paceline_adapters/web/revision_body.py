"""The body of a request to make artifacts again."""

from typing import Annotated, Any

from paceline.client.content.revising import CONDITIONS
from paceline.contracts.storage.versions import MAX_INSTRUCTION, MAX_REQUESTER
from paceline.validation import describe
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from paceline_adapters.web.problems import Problem, invalid_request

#: Maximum number of artifacts that one request may name.
_MAX_PLACES = 10_000
#: Pattern of a text that is not only white space.
_NOT_BLANK = r"\S"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ArtifactPlace(_Body):
    """An artifact by its concept and step."""

    concept_id: Annotated[str, Field(min_length=1, max_length=400)]
    step: Annotated[str, Field(min_length=1, max_length=100)]


class _Wish(_Body):
    instruction: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_INSTRUCTION,
            pattern=_NOT_BLANK,
            description="What to change, for the model.",
        ),
    ] = None
    downstream: Annotated[
        bool, Field(description="Also make the artifacts again that were made from these.")
    ] = False
    requested_by: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_REQUESTER,
            pattern=_NOT_BLANK,
            description="Name of the person or program that asks; kept with the version.",
        ),
    ] = None
    dry_run: Annotated[bool, Field(description="Only list what would be made again.")] = False


class RevisedArtifacts(_Wish):
    """A request to make the listed artifacts again."""

    artifacts: Annotated[list[ArtifactPlace], Field(min_length=1, max_length=_MAX_PLACES)]


class RevisedSelection(_Wish):
    """A request to make all artifacts of a step again, or all that a condition selects."""

    step: Annotated[
        str | None, Field(min_length=1, max_length=100, description="Only artifacts of this step.")
    ] = None
    where: Annotated[
        str | None,
        Field(
            max_length=200,
            pattern=r"^(stale|failed|model=.+)$",
            description=f"Only artifacts that a condition selects: {CONDITIONS}.",
        ),
    ] = None


_FIELDS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def revision_schema() -> dict[str, Any]:
    """Schema of the body."""
    listed, selected = (model.model_json_schema() for model in (RevisedArtifacts, RevisedSelection))
    places = listed.pop("$defs")["ArtifactPlace"]
    listed["properties"]["artifacts"]["items"] = places
    either = [{"required": [name], "properties": {name: {"type": "string"}}} for name in _SELECTORS]
    return {"anyOf": [listed, {**selected, "anyOf": either}]}


#: One of these must be given if no artifacts are listed.
_SELECTORS = ("step", "where")


def parse_revision(raw: bytes) -> RevisedArtifacts | RevisedSelection:
    """Parse a body: a list of artifacts, or a selection.

    Raises:
        Problem: 422, it is neither; the problem has every fault.
    """
    try:
        fields = _FIELDS.validate_json(raw)
        if "artifacts" in fields:
            return RevisedArtifacts.model_validate(fields)
        selection = RevisedSelection.model_validate(fields)
    except ValidationError as error:
        raise invalid_request(describe(error)) from None
    if selection.step is None and selection.where is None:
        raise Problem(
            422, "invalid-request", "The body must have one of artifacts, step and where."
        )
    return selection
