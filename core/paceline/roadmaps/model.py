"""The input: roadmaps, and how they are validated."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paceline.errors import RoadmapError, UsageError
from paceline.roadmaps.decoding import decode, json_faults
from paceline.roadmaps.references import graph_faults
from paceline.validation import WHOLE, describe

MAX_BYTES = 32 * 2**20
MAX_CONCEPTS = 200_000

Id = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Name = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Text = Annotated[str, Field(max_length=20_000)]


class _Part(BaseModel):
    # Unknown fields belong to the user and are kept in the store.
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class Concept(_Part):
    """One thing to learn. paceline generates content for each concept."""

    concept_id: Id
    name: Name
    description: Text = ""
    estimated_hours: Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)] | None = None
    prerequisites: Annotated[list[Id], Field(max_length=1000)] = Field(default_factory=list[str])
    difficulty: Annotated[str, Field(max_length=100)] = ""
    keywords: Annotated[list[Name], Field(max_length=1000)] = Field(default_factory=list[str])


class Module(_Part):
    """A group of concepts."""

    module_id: Id
    name: Name
    description: Text = ""
    concepts: Annotated[list[Concept], Field(min_length=1)]


class Stage(_Part):
    """A group of modules."""

    stage_id: Id
    name: Name
    description: Text = ""
    order: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    modules: Annotated[list[Module], Field(min_length=1)]


class Roadmap(_Part):
    """What a learner wants to learn, in stages, modules and concepts."""

    roadmap_id: Id
    title: Name
    stages: Annotated[list[Stage], Field(min_length=1)]

    def concepts(self) -> Iterator[tuple[Stage, Module, Concept]]:
        """Every concept with its stage and module, in the roadmap's order."""
        for stage in self.stages:
            for module in stage.modules:
                for concept in module.concepts:
                    yield stage, module, concept

    def concept_count(self) -> int:
        """Number of concepts."""
        return sum(len(module.concepts) for stage in self.stages for module in stage.modules)

    def to_json(self) -> str:
        """The roadmap with its unknown fields, as canonical JSON."""
        return json.dumps(
            self.model_dump(mode="json"), ensure_ascii=False, sort_keys=True, separators=(",", ":")
        )

    def content_hash(self) -> str:
        """Hash of the content; it does not depend on the format of the file."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def parse_roadmap(data: object, *, source: str) -> Roadmap:
    """Validate decoded JSON or YAML; ``source`` names the file or request in errors.

    Raises:
        RoadmapError: the roadmap is invalid; it names every fault with its path.
    """
    faults: list[str] = []
    roadmap: Roadmap | None = None
    try:
        roadmap = Roadmap.model_validate(data)
    except ValidationError as error:
        faults += describe(error)
    except RecursionError:
        raise RoadmapError(source, ["nested too deeply"]) from None
    faults += json_faults(data)
    faults += graph_faults(data)
    if roadmap is not None and roadmap.concept_count() > MAX_CONCEPTS:
        faults.append(
            f"stages: at most {MAX_CONCEPTS} concepts are allowed, got {roadmap.concept_count()}"
        )
    if roadmap is not None and not faults and not _is_unicode(roadmap):
        faults.append(f"{WHOLE}: a text contains half of a surrogate pair")
    if roadmap is None or faults:
        raise RoadmapError(source, faults)
    return roadmap


def _is_unicode(roadmap: Roadmap) -> bool:
    try:
        roadmap.to_json().encode()
    except UnicodeEncodeError:
        return False
    return True


def load_roadmap(path: str | Path) -> Roadmap:
    """Read a roadmap from a ``.json``, ``.yaml`` or ``.yml`` file.

    Raises:
        RoadmapError: the roadmap is invalid; it names every fault with its path.
        UsageError: the file cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(raw) > MAX_BYTES:
        raise RoadmapError(
            str(path), [f"the file must not be larger than {MAX_BYTES // 2**20} MiB"]
        )
    data = decode(raw, yaml_allowed=path.suffix.lower() != ".json", source=str(path))
    return parse_roadmap(data, source=str(path))
