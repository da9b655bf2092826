"""When the steps of a run waited, called and were saved."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

#: What a step did for some seconds. ``waiting``: for its admission. ``calling``: a call was
#: answered. ``refused``: the provider refused a call because of its quota. ``failed``: a call
#: failed or was cancelled. ``using``: it used a resource.
PhaseKind = Literal["waiting", "calling", "refused", "failed", "using"]

#: Maximum number of phases that are kept of one artifact; later ones are dropped.
MAX_PHASES = 40
#: Maximum number of open steps that a worker reports, and of the last phases of each.
MAX_OPEN, MAX_OPEN_PHASES = 200, 8
_KINDS = frozenset(get_args(PhaseKind))


@dataclass(frozen=True, slots=True)
class Phase:
    """One thing that a step did.

    Attributes:
        kind: what it did.
        start: seconds since the step began; negative while the concept waited for its own
            admission before.
        seconds: how long it took.
    """

    kind: PhaseKind
    start: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStep:
    """A step that is being made, as its worker reports it with a beat.

    Attributes:
        run_id: id of the run.
        concept_id: id of the concept.
        step: name of the step.
        seconds: seconds from the beginning of the step to the beat.
        phases: what it did so far; the last one may go on.
    """

    run_id: str
    concept_id: str
    step: str
    seconds: float
    phases: tuple[Phase, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """When a step of a concept made its artifact, or tried to.

    Attributes:
        concept_id: id of the concept.
        step: name of the step.
        ended_at: when the artifact was committed, or when the last failure was recorded; of an
            open step the time of the beat.
        seconds: seconds from the beginning of the step to the valid answer or the failure.
        saving: seconds from the valid answer to the commit.
        attempts: number of calls, without calls that the provider refused.
        saved: whether there is an artifact. If not, the calls led to none.
        version: number of the artifact's version; 0 without an artifact.
        model: the model that wrote it; empty if it is unknown.
        adopted: whether the run took it over from another run.
        open: whether the step is being made.
        phases: what the step did; empty if it is not known.
    """

    concept_id: str
    step: str
    ended_at: datetime
    seconds: float
    saving: float = 0.0
    attempts: int = 0
    saved: bool = True
    version: int = 1
    model: str = ""
    adopted: bool = False
    open: bool = False
    phases: tuple[Phase, ...] = ()


def phases_to_text(phases: Sequence[Phase]) -> str | None:
    """Phases as the text that a store keeps; ``None`` for none."""
    if not phases:
        return None
    listed = [[one.kind, round(one.start, 3), round(one.seconds, 3)] for one in phases]
    return json.dumps(listed[:MAX_PHASES], separators=(",", ":"))


def open_step_times(step: OpenStep, beat_at: datetime) -> StepTimes:
    """The times of an open step, as of its worker's beat."""
    return StepTimes(
        concept_id=step.concept_id,
        step=step.step,
        ended_at=beat_at,
        seconds=step.seconds,
        saved=False,
        version=0,
        open=True,
        phases=step.phases,
    )


def phases_from_text(text: str | None) -> tuple[Phase, ...]:
    """Phases from the text that a store keeps; kinds of a later version are left out."""
    if text is None:
        return ()
    return tuple(
        Phase(kind, start, took) for kind, start, took in json.loads(text) if kind in _KINDS
    )
