"""Content that exists elsewhere, as JSON lines: read, checked as a whole, and stored.

Each line is an object such as::

    {"concept_id": "ownership", "step": "tutorial", "content": {"title": "…", "sections": […]}}

``content`` must be what the step's answer model accepts. Optional are ``model`` (who wrote it),
``instruction`` and ``requested_by``.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paceline.contracts.steps.step import Step
from paceline.contracts.storage.records import Artifact
from paceline.contracts.storage.versions import MAX_INSTRUCTION, MAX_REQUESTER
from paceline.errors import RoadmapError, UsageError
from paceline.roadmaps.decoding import decode, json_faults
from paceline.roadmaps.model import Concept
from paceline.steps.inputs import Inputs
from paceline.text import count, nearest
from paceline.validation import describe

#: Maximum size of a line, in bytes.
MAX_LINE = 8 * 2**20
#: Maximum number of faults in one error.
SHOWN = 50


class ImportFaults(UsageError):
    """Lines that cannot be imported; ``faults`` has one line per fault, with its place."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        more = len(faults) - SHOWN
        rest = [f"and {count(more, 'fault')} more"] if more > 0 else []
        super().__init__("\n".join([*faults[:SHOWN], *rest, "nothing was imported"]))


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    concept_id: Annotated[str, Field(min_length=1, max_length=400)]
    step: Annotated[str, Field(min_length=1, max_length=100)]
    content: Any
    model: Annotated[str, Field(max_length=200)] = ""
    instruction: Annotated[str | None, Field(min_length=1, max_length=MAX_INSTRUCTION)] = None
    requested_by: Annotated[str | None, Field(min_length=1, max_length=MAX_REQUESTER)] = None


@dataclass(slots=True)
class Importer:
    """Reads lines of one or more files.

    Attributes:
        concepts: the concepts of the run, by id.
        steps: the steps of the run, by name.
        inputs: hashes what artifacts are made from, so that ``--adopt`` takes over what was
            imported.
    """

    concepts: Mapping[str, Concept]
    steps: Mapping[str, Step]
    inputs: Inputs
    _made: dict[tuple[str, str], Artifact] = field(default_factory=dict[tuple[str, str], Artifact])
    _places: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    _faults: list[str] = field(default_factory=list[str])

    def read(self, source: str, lines: Iterable[bytes]) -> None:
        """Read the lines of one file; blank lines are skipped."""
        for number, raw in enumerate(lines, 1):
            if raw.strip():
                self._read(f"{source}:{number}", raw)

    def artifacts(self) -> list[Artifact]:
        """What was read, in the order of the lines.

        Raises:
            ImportFaults: a line is not valid.
        """
        if self._faults:
            raise ImportFaults(self._faults)
        return list(self._made.values())

    def _read(self, place: str, raw: bytes) -> None:
        if len(raw) > MAX_LINE:
            self._faults.append(f"{place}: a line must not be longer than {MAX_LINE // 2**20} MiB")
            return
        found: Sequence[str] = ()
        line: _Line | None = None
        try:
            data = decode(raw, yaml_allowed=False, source=place)
            found = json_faults(data)
            line = _Line.model_validate(data)
        except RoadmapError as error:
            found = error.faults
        except ValidationError as error:
            found = [*found, *describe(error)]
        if found or line is None:
            self._faults += [f"{place}: {fault}" for fault in found]
            return
        known = True
        for what, name, all_ in (
            ("concept", line.concept_id, self.concepts),
            ("step", line.step, self.steps),
        ):
            if name not in all_:
                self._faults.append(f"{place}: unknown {what} {name!r}{_near(name, all_)}")
                known = False
        if known:
            self._add(place, line)

    def _add(self, place: str, line: _Line) -> None:
        key = line.concept_id, line.step
        if key in self._places:
            self._faults.append(
                f"{place}: {line.step} of concept {line.concept_id!r} must be given once, and "
                f"{self._places[key]} has it, too"
            )
            return
        self._places[key] = place
        try:
            text = json.dumps(line.content)
            answer = self.steps[line.step].answer.model_validate_json(text)
        except ValidationError as error:
            self._faults += [f"{place}: content: {fault}" for fault in describe(error)]
            return
        self._made[key] = Artifact(
            concept_id=line.concept_id,
            step=line.step,
            content=answer.model_dump_json(),
            model=line.model,
            prompt_tokens=0,
            completion_tokens=0,
            cost=None,
            seconds=0.0,
            attempts=0,
            instruction=line.instruction,
            requested_by=line.requested_by,
            input_hash=self.inputs.of(self.concepts[line.concept_id]).hash(line.step),
        )


def _near(name: str, known: Collection[str]) -> str:
    return nearest(name, list(known)) if len(known) <= SHOWN else ""
