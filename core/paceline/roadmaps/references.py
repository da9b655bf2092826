"""Faults between concepts: duplicate ids, unknown prerequisites, cycles.

The functions accept data of any shape, so that these faults are reported together with type
errors. Values of the wrong type are ignored here.
"""

from collections.abc import Iterator, Mapping
from typing import cast

_Path = str


def graph_faults(data: object) -> list[str]:
    """One line per fault, each beginning with its path."""
    faults: list[str] = []
    stages = list(_members(data, "stages", ""))
    modules = [found for path, stage in stages for found in _members(stage, "modules", f"{path}.")]
    concepts = [found for path, part in modules for found in _members(part, "concepts", f"{path}.")]
    faults += _duplicates(stages, "stage_id")
    faults += _duplicates(modules, "module_id")
    faults += _duplicates(concepts, "concept_id")
    faults += _prerequisite_faults(concepts)
    return faults


def _members(data: object, key: str, prefix: str) -> Iterator[tuple[_Path, Mapping[str, object]]]:
    if not isinstance(data, Mapping):
        return
    found = cast("Mapping[str, object]", data).get(key)
    if not isinstance(found, list):
        return
    for index, member in enumerate(cast("list[object]", found)):
        if isinstance(member, Mapping):
            yield f"{prefix}{key}[{index}]", cast("Mapping[str, object]", member)


def _duplicates(parts: list[tuple[_Path, Mapping[str, object]]], key: str) -> Iterator[str]:
    first: dict[str, _Path] = {}
    for path, part in parts:
        name = part.get(key)
        if not isinstance(name, str):
            continue
        if name in first:
            yield f"{path}.{key}: duplicate {name!r}, first at {first[name]}"
        else:
            first[name] = path


def _prerequisite_faults(concepts: list[tuple[_Path, Mapping[str, object]]]) -> Iterator[str]:
    paths: dict[str, _Path] = {}
    wanted: dict[str, list[str]] = {}
    for path, concept in concepts:
        name, needs = concept.get("concept_id"), concept.get("prerequisites")
        if not isinstance(name, str):
            continue
        paths.setdefault(name, path)
        if isinstance(needs, list):
            wanted.setdefault(name, []).extend(
                need for need in cast("list[object]", needs) if isinstance(need, str)
            )
    for path, concept in concepts:
        needs = concept.get("prerequisites")
        if isinstance(needs, list):
            for index, need in enumerate(cast("list[object]", needs)):
                if isinstance(need, str) and need not in paths:
                    yield f"{path}.prerequisites[{index}]: unknown concept {need!r}"
    for cycle in _cycles(wanted):
        loop = " → ".join([*cycle, cycle[0]])
        yield f"{paths[cycle[0]]}.prerequisites: circular: {loop}"


def _cycles(wanted: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """One cycle for each back edge of a depth-first walk, without recursion."""
    finished: set[str] = set()
    for root in wanted:
        if root in finished:
            continue
        trail: list[str] = [root]
        on_trail = {root}
        pending = [iter(wanted[root])]
        while pending:
            step = next(pending[-1], None)
            if step is None:
                pending.pop()
                done = trail.pop()
                on_trail.discard(done)
                finished.add(done)
            elif step in on_trail:
                yield trail[trail.index(step) :]
            elif step in wanted and step not in finished:
                trail.append(step)
                on_trail.add(step)
                pending.append(iter(wanted[step]))
