"""The limits over all workers: their settings, what was changed, and how much is in use."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from paceline.contracts.admission.limit_figures import LimitFigures, summed_up
from paceline.contracts.controls import LIMIT_BOUNDS, Controls, LimitOverride
from paceline.contracts.storage.records import WorkerRecord
from paceline.errors import UsageError
from paceline.settings.load import options_for
from paceline.settings.model import Settings
from paceline.text import unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStatus:
    """One limit over all workers.

    Attributes:
        limit: ``global``, or ``resource:NAME``.
        key: the model, or a key of the resource; empty for all of them.
        settings: the numbers of the settings, by name.
        changed: the numbers that replace them; ``None`` if they were never changed.
        held: permits that are out over all workers.
        waiting: calls or uses that wait, in all workers.
        requests: requests counted for the last minute.
        tokens: tokens counted for the last minute.
        request_quota: requests that the ledger allows per minute.
        token_quota: tokens that the ledger allows per minute.
        why: why the next one waits; empty if none waits.
    """

    limit: str
    key: str = ""
    settings: Mapping[str, int] = field(default_factory=dict[str, int])
    changed: LimitOverride | None = None
    held: int = 0
    waiting: int = 0
    requests: int = 0
    tokens: int = 0
    request_quota: int | None = None
    token_quota: int | None = None
    why: str = ""

    def to_json(self) -> dict[str, object]:
        """The limit for ``--json`` and the API; the names are stable."""
        changed = self.changed
        return {
            "limit": self.limit,
            "key": self.key or None,
            "settings": dict(self.settings),
            "changed": {} if changed is None else dict(changed.values),
            "version": 0 if changed is None else changed.version,
            "by": None if changed is None else changed.by,
            "at": None if changed is None or changed.at is None else changed.at.isoformat(),
            "held": self.held,
            "waiting": self.waiting,
            "requests": self.requests,
            "tokens": self.tokens,
            "request_quota": self.request_quota,
            "token_quota": self.token_quota,
            "why": self.why,
        }


def limit_status(
    settings: Settings, controls: Controls, workers: Sequence[WorkerRecord]
) -> list[LimitStatus]:
    """All limits that can be changed, are changed, or are in use."""
    places: dict[tuple[str, str], Mapping[str, int]] = dict(_of_settings(settings))
    for one in controls.limits:
        places.setdefault((one.limit, one.key), {})
    used: dict[tuple[str, str], dict[str, LimitFigures]] = defaultdict(dict)
    reported = (figures for worker in workers for figures in worker.figures.limits)
    for figures in summed_up(reported):
        place = _place_of(figures)
        if place is not None:
            used[place][figures.unit] = figures
            places.setdefault(place, {})
    found: list[LimitStatus] = []
    for (limit, key), numbers in places.items():
        units = used.get((limit, key), {})
        at_once = units.get("calls") or units.get("uses")
        requests, tokens = units.get("requests"), units.get("tokens")
        found.append(
            LimitStatus(
                limit=limit,
                key=key,
                settings=numbers,
                changed=controls.limit(limit, key),
                held=0 if at_once is None else at_once.used,
                waiting=max((one.waiting for one in units.values()), default=0),
                requests=0 if requests is None else requests.used,
                tokens=0 if tokens is None else tokens.used,
                request_quota=None if requests is None else requests.quota,
                token_quota=None if tokens is None else tokens.quota,
                why=next((one.reason for one in units.values() if one.waiting), ""),
            )
        )
    return found


def checked_limit(settings: Settings, limit: str, key: str, values: Mapping[str, int]) -> None:
    """Check a change of a limit.

    Raises:
        UsageError: the settings have no such limit, or a number is not allowed.
    """
    known = sorted({name for (name, _), _ in _of_settings(settings)})
    if limit not in known:
        raise UsageError(
            unknown(f"limit {limit!r}", limit, known)
            if known
            else "no limit can be changed: the settings have neither the strategy global nor "
            "resources"
        )
    is_resource = limit.startswith("resource:")
    if key and is_resource:
        raise UsageError(f"{limit} has one quota for all of its keys: leave out the key")
    for name, value in values.items():
        allowed = [one for one in LIMIT_BOUNDS if not (is_resource and one == "tokens_per_minute")]
        if name not in allowed:
            raise UsageError(unknown(f"number {name!r} of {limit}", name, allowed))
        least, most = LIMIT_BOUNDS[name]
        if not least <= value <= most:
            raise UsageError(f"{name} must be between {least} and {most}, got {value}")


def _place_of(figures: LimitFigures) -> tuple[str, str] | None:
    """The limit and key that figures belong to; ``None`` if the limit cannot be changed."""
    if figures.strategy == "resources":
        limit, _, key = figures.key.partition("#")
        return limit, key
    return ("global", figures.key) if figures.strategy == "global" else None


def _of_settings(settings: Settings) -> list[tuple[tuple[str, str], Mapping[str, int]]]:
    found: list[tuple[tuple[str, str], Mapping[str, int]]] = []
    if "global" in settings.strategy:
        options = options_for(settings.strategies, "global")
        found.append((("global", ""), _numbers(options)))
        keys = cast("Mapping[str, Any]", options.get("keys", {}))
        found += [(("global", key), _numbers(own)) for key, own in keys.items()]
    for name, resource in settings.resources.items():
        folded = f"resource:{name.replace('_', '-')}"
        found.append(((folded, ""), _numbers(resource.model_dump())))
    return found


def _numbers(options: Mapping[str, Any]) -> Mapping[str, int]:
    numbers = {name: options.get(name) for name in LIMIT_BOUNDS}
    return {name: int(value) for name, value in numbers.items() if value is not None}
