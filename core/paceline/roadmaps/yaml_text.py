"""Decoding of YAML. It is imported when a text is YAML, because its parser takes time to import."""

from collections.abc import Iterator
from typing import Any, cast

import yaml
from yaml.nodes import MappingNode, Node

from paceline.roadmaps.raw import Ambiguous, YamlFault, twice_in


def load_yaml(text: str) -> object:
    """Decode YAML.

    Raises:
        YamlFault: it is not valid.
        RecursionError: it is nested too deeply.
    """
    try:
        loader = _Loader(text)
        try:
            return cast("object", loader.get_single_data())
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise YamlFault(_one_line(error)) from None


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a few lines with aliases can expand to gigabytes."""

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases are not allowed", problem_mark=self.get_mark()
            )
        return super().compose_node(parent, index)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return cast("object", super().construct_object(node, deep))  # pyright: ignore[reportUnknownMemberType]
        except (ValueError, OverflowError) as error:
            # An impossible date, or a tag that does not fit its text.
            what = str(error).partition(";")[0]
            raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark) from None

    def construct_ours(self, node: MappingNode) -> Iterator[Ambiguous]:
        # Filled after it was yielded, as the base loader does.
        found = Ambiguous([], set())
        yield found
        pairs = len(node.value)
        found.update(self.construct_mapping(node))
        if len(found) < pairs:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            found.twice = twice_in(keys)


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_ours)


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} at line {mark.line + 1}, column {mark.column + 1}"
    return " ".join(str(error).split())
