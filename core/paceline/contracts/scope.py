"""The scope of a run: which steps it makes, and for which concepts of its roadmap."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paceline.errors import ScopeError, UsageError
from paceline.roadmaps.model import Roadmap
from paceline.text import count, nearest, unknown

#: The selector of the roadmap's first module.
FIRST_MODULE = "first-module"
#: What a selector of concepts may look like, for errors and help.
FORMS = f"stage:ID, module:ID, concept:ID or {FIRST_MODULE}"
#: Maximum number of names that an error lists as allowed.
_MAX_NAMED = 50
#: Maximum number of characters of a wrong selector that an error shows.
_MAX_SHOWN = 100
_KINDS = ("stage", "module", "concept")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a run makes.

    Attributes:
        steps: names of the steps; ``None`` for the steps of the settings.
        only: selectors of concepts, each ``stage:ID``, ``module:ID``, ``concept:ID`` or
            ``first-module``; empty for the whole roadmap.
    """

    steps: tuple[str, ...] | None = None
    only: tuple[str, ...] = ()

    def to_json(self) -> str | None:
        """The scope as stores keep it; ``None`` for every step of the whole roadmap."""
        if self == WHOLE_ROADMAP:
            return None
        kept = {"steps": None if self.steps is None else list(self.steps), "only": list(self.only)}
        return json.dumps(kept, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | None) -> "Scope":
        """The scope that ``to_json`` gave."""
        if text is None:
            return WHOLE_ROADMAP
        kept: dict[str, Any] = json.loads(text)
        steps, only = kept.get("steps"), kept.get("only")
        return cls(steps=None if steps is None else tuple(steps), only=tuple(only or ()))

    def widened(
        self, *, steps: Iterable[str] | None = None, only: Sequence[str] | None = None
    ) -> "Scope":
        """The scope together with more steps and concepts.

        Args:
            steps: more steps. ``None`` adds none. A scope with the steps of the settings has
                all steps already.
            only: selectors of more concepts; an empty sequence is the whole roadmap. ``None``
                adds none.
        """
        wider = self
        if steps is not None and self.steps is not None:
            wider = replace(wider, steps=tuple(dict.fromkeys((*self.steps, *steps))))
        if only is not None:
            both = tuple(dict.fromkeys((*self.only, *only))) if self.only and only else ()
            wider = replace(wider, only=both)
        return wider

    def concepts_of(self, roadmap: Roadmap) -> list[str]:
        """Ids of the concepts that the scope selects, in the order of the roadmap.

        Raises:
            ScopeError: a selector has another form, or selects nothing of the roadmap.
        """
        places = [
            (stage.stage_id, module.module_id, concept.concept_id)
            for stage, module, concept in roadmap.concepts()
        ]
        if not self.only:
            return [concept_id for _, _, concept_id in places]
        wanted = tuple(set[str]() for _ in _KINDS)
        for selector in self.only:
            if selector == FIRST_MODULE:
                wanted[1].add(places[0][1])
                continue
            kind, colon, name = selector.partition(":")
            if not colon or kind not in _KINDS:
                shown = selector[:_MAX_SHOWN]
                raise ScopeError(f"only must be {FORMS}, got {shown!r}")
            index = _KINDS.index(kind)
            known = dict.fromkeys(place[index] for place in places)
            if name not in known:
                shown = name[:_MAX_SHOWN]
                raise ScopeError(f"only: unknown {kind} {shown!r}{_hint(kind, shown, known)}")
            wanted[index].add(name)
        return [
            place[-1]
            for place in places
            if any(id_ in ids for id_, ids in zip(place, wanted, strict=True))
        ]


#: Every step of the settings, for every concept.
WHOLE_ROADMAP = Scope()


def names_of(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names as a tuple; a single text is one name."""
    if given is None:
        return None
    return (given,) if isinstance(given, str) else tuple(given)


def checked_steps(steps: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...] | None:
    """The steps of a submission, each once and in the order of the settings.

    Args:
        steps: the names that were given; ``None`` if none were.
        known: the steps of the settings.

    Raises:
        ScopeError: a name is not a step of the settings, or the list is empty.
    """
    if steps is None:
        return None
    if not steps:
        raise ScopeError(f"steps must name at least one step (allowed: {', '.join(known)})")
    for name in steps:
        if name not in known:
            shown = name[:_MAX_SHOWN]
            raise ScopeError(f"steps: {unknown(f'step {shown!r}', shown, list(known))}")
    return tuple(name for name in known if name in steps)


def missing_step_error(steps: Iterable[str], known: Sequence[str]) -> UsageError:
    """The error for a run with steps that the settings of a worker do not have."""
    lacking = ", ".join(repr(name) for name in steps if name not in known)
    return UsageError(
        f"the run needs {lacking}, but run.steps of this worker has only: {', '.join(known)}"
    )


def _hint(kind: str, name: str, known: Collection[str]) -> str:
    if len(known) <= _MAX_NAMED:
        return nearest(name, list(known))
    return f" (the roadmap has {count(len(known), kind)})"
