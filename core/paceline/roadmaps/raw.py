"""What the decoders of JSON and YAML share: objects with duplicate keys, and their faults."""

from collections import Counter
from typing import Any


class Ambiguous(dict[Any, Any]):
    """An object with duplicate keys."""

    def __init__(self, pairs: list[tuple[Any, Any]], twice: set[Any]) -> None:
        super().__init__(pairs)
        self.twice = twice


def twice_in(keys: list[Any]) -> set[Any]:
    """The keys that occur more than once."""
    return {key for key, times in Counter(keys).items() if times > 1}


class YamlFault(ValueError):
    """The text is not valid YAML; one line with the place."""
