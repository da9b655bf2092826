"""What happened to the concepts of a run: waits, calls, refusals, repairs and fallbacks."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from paceline.contracts.storage.records import ConceptState
from paceline.contracts.storage.store import Store
from paceline.contracts.storage.timeline import Phase, StepTimes
from paceline.text import count

#: Concepts that are read at once.
PAGE = 100

_WORDS = {
    "waiting": "waited for admission",
    "calling": "call answered",
    "refused": "call refused because of a quota",
    "failed": "call failed",
    "using": "used a resource",
}


@dataclass(frozen=True, slots=True)
class ConceptLog:
    """A concept, and what its steps did, in the order of their ends.

    Attributes:
        state: status of the concept, and why it failed.
        name: name of the concept.
        steps: times of each step, also of those that led to no artifact.
        fallbacks: why another model wrote an artifact, by step; only if it was asked for.
    """

    state: ConceptState
    name: str
    steps: Sequence[StepTimes]
    fallbacks: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """The log for ``--json``; the names are stable."""
        return {
            "concept_id": self.state.concept_id,
            "name": self.name,
            "status": self.state.status,
            "reason": self.state.reason,
            "steps": [
                {**step_to_json(one), "fallback": self.fallbacks.get(one.step)}
                for one in self.steps
            ],
        }

    def lines(self) -> list[str]:
        """The log in lines of text."""
        state = self.state
        reason = f": {state.reason}" if state.reason else ""
        lines = [f"{state.concept_id}: {state.status}{reason}"]
        for one in self.steps:
            lines.append(f"  {_outcome(one)}")
            lines += [f"    {_phase(phase)}" for phase in one.phases]
            if one.saved and one.saving >= 0.001:
                lines.append(f"    {_at(one.seconds)}  saved in {one.saving:.2f} s")
            if one.step in self.fallbacks:
                lines.append(f"    another model was used: {self.fallbacks[one.step]}")
        return lines


async def concept_logs(
    store: Store, run_id: str, *, concept_id: str | None = None
) -> AsyncIterator[ConceptLog]:
    """The logs of a run's concepts in their order, or of one concept with its fallbacks.

    Raises:
        RunNotFound: the run does not exist.
        PartUnavailable: the store cannot be reached.
    """
    roadmap = await store.roadmap(run_id)
    names = {concept.concept_id: concept.name for _, _, concept in roadmap.concepts()}
    after: str | None = None
    while True:
        states = await store.concepts(run_id, limit=PAGE, after=after)
        chosen = [one for one in states if concept_id in (None, one.concept_id)]
        times: dict[str, list[StepTimes]] = defaultdict(list)
        for one in await store.timeline(run_id, concepts=[one.concept_id for one in chosen]):
            times[one.concept_id].append(one)
        for state in chosen:
            fallbacks: dict[str, str] = {}
            if concept_id is not None:
                artifacts = await store.artifacts(run_id, concept_id=concept_id)
                fallbacks = {one.step: one.fallback for one in artifacts if one.fallback}
            own = state.concept_id
            yield ConceptLog(state, names.get(own, own), times[own], fallbacks)
        if len(states) < PAGE:
            return
        after = states[-1].concept_id


def step_to_json(times: StepTimes) -> dict[str, object]:
    """When a step worked, for ``--json`` and the API; the names are stable."""
    began_at = times.ended_at - timedelta(seconds=times.saving + times.seconds)
    return {
        **asdict(times),
        "ended_at": times.ended_at.isoformat(),
        "began_at": began_at.isoformat(),
    }


def _outcome(one: StepTimes) -> str:
    if one.adopted:
        return f"{one.step}: taken over from another run"
    what = "is being made" if one.open else "saved" if one.saved else "led to no artifact"
    parts = [f"{one.step}: {what}", f"{one.seconds:.1f} s", count(one.attempts, "call")]
    answered = sum(phase.kind == "calling" for phase in one.phases)
    if answered > 1:
        parts.append(f"{count(answered - 1, 'answer')} repaired or asked for again")
    if one.version > 1:
        parts.append(f"version {one.version}")
    if one.model:
        parts.append(one.model)
    return ", ".join(parts) + f"  ({one.ended_at:%Y-%m-%d %H:%M:%S} UTC)"


def _phase(phase: Phase) -> str:
    return f"{_at(phase.start)}  {_WORDS[phase.kind]}, {phase.seconds:.1f} s"


def _at(seconds: float) -> str:
    return f"{seconds:+8.1f} s"
