"""Limits over the last minutes, for the API."""

from collections.abc import Sequence
from dataclasses import asdict

from paceline.contracts.admission.limit_figures import LimitFigures

from paceline_adapters.web.live_figures import Sample

#: Maximum number of changes to show of a limit.
MAX_CHANGES = 20


def limits_to_json(samples: Sequence[Sample], *, history: bool) -> list[dict[str, object]]:
    """Every limit of the last samples, as it was seen last.

    A limit is shown as long as a sample has it, also if its workers have ended.
    """
    seen: dict[str, list[tuple[Sample, LimitFigures]]] = {}
    for sample in samples:
        for one in sample.limits:
            seen.setdefault(one.name, []).append((sample, one))
    return [_limit(points, history=history) for points in seen.values()]


def _limit(points: Sequence[tuple[Sample, LimitFigures]], *, history: bool) -> dict[str, object]:
    _, last = points[-1]
    shown: dict[str, object] = {**asdict(last), "changes": _changes(points)}
    if history:
        shown["history"] = {
            "at": [sample.at for sample, _ in points],
            **{
                name: [getattr(one, name) for _, one in points]
                for name in ("used", "quota", "waiting", "refused")
            },
        }
    return shown


def _changes(points: Sequence[tuple[Sample, LimitFigures]]) -> list[dict[str, object]]:
    """When another reason or quota was seen, the latest first."""
    changes: list[dict[str, object]] = []
    before: tuple[int, str] | None = None
    for sample, one in points:
        if one.reason and (one.quota, one.reason) != before:
            changes.append({"at": sample.at, "quota": one.quota, "reason": one.reason})
        before = one.quota, one.reason
    return changes[-MAX_CHANGES:][::-1]
