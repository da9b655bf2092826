"""The request log of the simulated provider."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OK, REFUSED = 200, 429


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as the provider logged it.

    Attributes:
        drawn: latency that the simulator drew, in seconds; 0 for a rejected request.
        tokens: tokens charged against the quota.
        started: time of arrival, seconds since 1970.
        ended: time of the response, seconds since 1970.
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
    """The requests that started at this time or later, in the order of their end."""
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
    """The answered calls by roadmap and concept, in the order of their start."""
    found: dict[str, dict[str, list[Call]]] = {}
    for call in sorted(calls, key=lambda one: one.started):
        if call.status == OK:
            found.setdefault(call.roadmap, {}).setdefault(call.concept, []).append(call)
    return found
