"""One finding, and the check that several parts need: times that must rise."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Level = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check came to.

    Attributes:
        level: ``wrong`` cannot hold, ``warning`` holds with a drawback that is named.
        part: what was looked at: ``store``, ``executor celery``, ``times``.
        text: one sentence with the values that matter; never a secret.
        fix: what to do about it, in one line; empty where all is well.
    """

    level: Level
    part: str
    text: str
    fix: str = ""


def ascending(part: str, times: Sequence[tuple[str, float | None]]) -> Finding:
    """Check that each time is shorter than the next.

    Args:
        part: what the finding is about.
        times: names and seconds, shortest first; those without a value are passed over.
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
