"""Submissions over HTTP: a roadmap, alone or with the settings of its run."""

from collections.abc import Sequence
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paceline.client.run_request import NOTHING_SPECIAL, RunRequest
from paceline.contracts.scope import FORMS
from paceline.contracts.share import DEFAULT_SHARE, MAX_WEIGHT, MIN_WEIGHT, Priority, Share
from paceline.contracts.storage.budgets import MAX_BUDGET
from paceline.errors import RoadmapError, UsageError
from paceline.roadmaps.decoding import decode, json_faults
from paceline.roadmaps.model import Roadmap, parse_roadmap
from paceline.validation import WHOLE, describe


class SubmissionError(UsageError):
    """A submission is not valid; ``faults`` has one line per fault, each with its place."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults[:3]))
        self.faults = tuple(faults)


class _RunSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    weight: Annotated[
        float,
        Field(
            ge=MIN_WEIGHT,
            le=MAX_WEIGHT,
            description="Share of shared quotas, relative to the weights of other runs.",
        ),
    ] = DEFAULT_SHARE.weight
    priority: Annotated[
        Priority, Field(description="How urgent the run is, among the runs of its tenant.")
    ] = DEFAULT_SHARE.priority
    context: Annotated[
        dict[str, object] | None,
        Field(description="Any JSON object that prompts may use, such as a learner's profile."),
    ] = None
    steps: Annotated[
        list[str] | None,
        Field(max_length=100, description="Make only these steps of the settings."),
    ] = None
    only: Annotated[
        list[str],
        Field(max_length=10_000, description=f"Generate only these parts: {FORMS}."),
    ] = Field(default_factory=list[str])
    budget: Annotated[
        float | None,
        Field(
            gt=0,
            le=MAX_BUDGET,
            allow_inf_nan=False,
            description="What the run may cost, in the currency of the settings' prices.",
        ),
    ] = None

    def request(self) -> RunRequest:
        """Context and scope of the run."""
        steps = None if self.steps is None else tuple(self.steps)
        return RunRequest(
            context=self.context, steps=steps, only=tuple(self.only), budget=self.budget
        )


class Submission(_RunSettings):
    """A roadmap and the settings of its run."""

    roadmap: Roadmap


def parse_submission(
    raw: bytes, *, yaml_allowed: bool = False
) -> tuple[Roadmap, Share, RunRequest]:
    """Parse a roadmap, or ``{"roadmap": …, "weight": …}``, in JSON or also in YAML.

    Returns:
        The roadmap, the weight and priority, and the context and scope of the run.

    Raises:
        RoadmapError: the roadmap is not valid; the error has every fault.
        SubmissionError: the object around a roadmap, or that roadmap, is not valid.
    """
    data = decode(raw, yaml_allowed=yaml_allowed, source="body")
    fields = _fields_of(data)
    # A roadmap may have a field `roadmap` of its own.
    if "roadmap" not in fields or "roadmap_id" in fields:
        return parse_roadmap(data, source="body"), DEFAULT_SHARE, NOTHING_SPECIAL
    faults: list[str] = []
    roadmap, settings = None, None
    try:
        roadmap = parse_roadmap(fields["roadmap"], source="body")
        faults += json_faults(fields)
    except RoadmapError as error:
        faults += [f"roadmap.{fault}".replace(f".{WHOLE}", "", 1) for fault in error.faults]
    try:
        settings = _RunSettings.model_validate({k: v for k, v in fields.items() if k != "roadmap"})
    except ValidationError as error:
        faults += describe(error)
    if roadmap is None or settings is None or faults:
        raise SubmissionError(faults)
    share = Share(weight=settings.weight, priority=settings.priority)
    return roadmap, share, settings.request()


def _fields_of(data: object) -> dict[str, object]:
    return cast("dict[str, object]", data) if isinstance(data, dict) else {}
