"""The provider's side: every request that the simulator logged."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OK, REFUSED = 200, 429


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as the provider saw it.

    Attributes:
        roadmap: id of the roadmap that its prompt names; so the next two.
        concept: of the concept.
        step: of the step.
        status: of the answer.
        drawn: seconds that the model took, which were drawn beforehand; 0 where it was refused.
        tokens: what was charged against a quota.
        started: seconds since 1970, as is ``ended``.
    """

    roadmap: str
    concept: str
    step: str
    status: int
    drawn: float
    tokens: int
    started: float
    ended: float


def read_calls(log: Path, *, since: float) -> list[Call]:
    """The requests that began at that moment or later, in the order of their end."""
    calls: list[Call] = []
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        if entry["started"] >= since:
            calls.append(
                Call(
                    roadmap=entry["roadmap"] or "",
                    concept=entry["concept"] or "",
                    step=entry["step"] or "",
                    status=entry["status"],
                    drawn=entry["drawn"] or 0.0,
                    tokens=entry["tokens"] or 0,
                    started=entry["started"],
                    ended=entry["ended"],
                )
            )
    return calls


def chains(calls: Iterable[Call]) -> dict[str, dict[str, list[Call]]]:
    """The answered calls by roadmap and concept, in the order of their beginning."""
    found: dict[str, dict[str, list[Call]]] = {}
    for call in sorted(calls, key=lambda one: one.started):
        if call.status == OK:
            found.setdefault(call.roadmap, {}).setdefault(call.concept, []).append(call)
    return found
