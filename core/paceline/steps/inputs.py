"""What an artifact is made from, and its hash.

Two artifacts with the same hash were made from the same

- ``concept``: the fields of the concept, also those that paceline does not know;
- ``context``: the context of the run;
- ``language``: the language of the settings;
- ``step``: its name, plugin, ``version`` and options;
- ``template``: the source of its prompt;
- ``models``: provider and id of each model of its chain, in order;
- ``needs``: the hashes of the artifacts that the step needs.

The surroundings of a concept in the roadmap, such as the name of its module, are not part of it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol, Self

from paceline.contracts.steps.step import Step
from paceline.roadmaps.model import Concept
from paceline.settings.model import Settings
from paceline.settings.steps import chain_of


class Hash(Protocol):
    """A hash that can be continued, as ``hashlib`` has it."""

    def update(self, data: bytes, /) -> None:
        """Continue with more bytes."""
        ...

    def copy(self) -> Self:
        """Continue in two ways."""
        ...

    def hexdigest(self) -> str:
        """The hash as text."""
        ...


class Inputs:
    """The inputs of a run's artifacts.

    Args:
        settings: the settings.
        steps: the steps with their names, in order.
        needs: the steps that each step needs, also indirectly.
        context: the run's context.
    """

    def __init__(
        self,
        settings: Settings,
        steps: Sequence[tuple[str, Step]],
        needs: Mapping[str, frozenset[str]],
        context: Mapping[str, object],
    ) -> None:
        self._settings = settings
        self._steps = dict(steps)
        self._needs = needs
        self._context = context
        self._sorted: dict[str, Sequence[str]] = {}
        self._shared: dict[str, Hash] = {}

    @property
    def names(self) -> Sequence[str]:
        """The steps, in order."""
        return list(self._steps)

    def of(self, concept: Concept) -> "ConceptInputs":
        """The inputs of the artifacts of one concept."""
        return ConceptInputs(self, concept)

    def needs(self, step: str) -> Sequence[str]:
        """The steps that a step needs, in alphabetical order."""
        if step not in self._sorted:
            self._sorted[step] = sorted(self._needs.get(step, ()))
        return self._sorted[step]

    def of_step(self, name: str) -> Mapping[str, object]:
        """The inputs that all concepts share."""
        settings, step = self._settings.step(name), self._steps[name]
        models = [self._settings.model(one) for one in chain_of(self._settings, name)]
        return {
            "step": {
                "name": name,
                "use": settings.use,
                "version": step.version,
                "options": dict(settings.options()),
            },
            "template": step.template(),
            "models": [f"{one.name}:{one.model}" for one in models],
            "language": self._settings.provider.language,
            "context": self._context,
        }

    def begun(self, name: str) -> "Hash":
        """A hash of the inputs that all concepts share, to continue with those of one."""
        if name not in self._shared:
            text = _json(self.of_step(name))
            self._shared[name] = hashlib.sha256(text.encode(errors="surrogatepass"))
        return self._shared[name].copy()


class ConceptInputs:
    """The inputs of the artifacts of one concept."""

    def __init__(self, inputs: Inputs, concept: Concept) -> None:
        self._inputs = inputs
        self._concept = concept
        self._hashes: dict[str, str] = {}

    @cached_property
    def _fields(self) -> bytes:
        concept = self._concept
        if not concept.model_extra:
            return concept.model_dump_json().encode()
        text = _json(concept.model_dump(mode="json"))  # unknown fields may come in any order
        return text.encode(errors="surrogatepass")

    def hash(self, step: str) -> str:
        """The hash of what a step is made from."""
        if step not in self._hashes:
            digest = self._inputs.begun(step)
            digest.update(self._fields)
            for name in self._inputs.needs(step):
                digest.update(self.hash(name).encode())
            self._hashes[step] = digest.hexdigest()[:32]
        return self._hashes[step]

    def explain(self, step: str) -> Mapping[str, object]:
        """What is hashed, for people."""
        return {
            "hash": self.hash(step),
            "concept": json.loads(self._fields),
            **self._inputs.of_step(step),
            "needs": {name: self.hash(name) for name in self._inputs.needs(step)},
        }


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
