"""One finding of ``paceline doctor``, and a check that several parts need."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Level = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        level: ``ok``, ``warning`` (it works, with a drawback) or ``wrong`` (it cannot work).
        part: the part that was checked: ``store``, ``executor celery``, ``times``.
        text: one sentence with the values that matter; never a secret.
        fix: what to do, in one line; empty if nothing is to do.
    """

    level: Level
    part: str
    text: str
    fix: str = ""


def ascending(part: str, times: Sequence[tuple[str, float | None]]) -> Finding:
    """Check that each time is shorter than the next.

    Args:
        part: the part that is checked.
        times: names and seconds, shortest first; times without a value are ignored.
    """
    known = [(name, seconds) for name, seconds in times if seconds is not None]
    for (name, seconds), (next_name, next_seconds) in pairwise(known):
        if seconds >= next_seconds:
            return Finding(
                "wrong",
                part,
                f"{name} ({seconds:g} s) must be shorter than {next_name} ({next_seconds:g} s)",
                f"raise {next_name} above {seconds:g}, or lower {name}",
            )
    chain = " < ".join(f"{name} {seconds:g} s" for name, seconds in known)
    return Finding("ok", part, chain)
