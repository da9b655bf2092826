"""Plugins with scripted models, steps and checks, for the pipeline in virtual time."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from paceline import Check, Context, NoOptions, Provider, Register, Step, hookimpl
from paceline.testing.scripted import Script, ScriptedProvider

PartT = TypeVar("PartT")


class ScriptedModels:
    """The provider ``scripted``: one script per model, by the model's name."""

    __name__ = "scripted-models"

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self.scripts = scripts
        self.made: dict[str, ScriptedProvider] = {}

    @hookimpl
    def paceline_register_providers(self, register: Register[Provider]) -> None:
        register("scripted", self._make, options=NoOptions, summary="Scripted.")

    def _make(self, options: NoOptions, context: Context) -> Provider:
        name = context.settings.provider.model
        provider = ScriptedProvider(self.scripts[name], model=name)
        self.made[name] = provider
        return provider


class OwnSteps:
    """Steps and checks by name."""

    def __init__(
        self,
        steps: Mapping[str, Callable[[], Step]] | None = None,
        checks: Mapping[str, Callable[[], Check]] | None = None,
        *,
        name: str = "own-steps",
    ) -> None:
        self.steps = steps or {}
        self.checks = checks or {}
        self.__name__ = name

    @hookimpl
    def paceline_register_steps(self, register: Register[Step]) -> None:
        for name, make in self.steps.items():
            register(name, _factory(make), options=NoOptions, summary="A step.")

    @hookimpl
    def paceline_register_checks(self, register: Register[Check]) -> None:
        for name, make in self.checks.items():
            register(name, _factory(make), options=NoOptions, summary="A check.")


def _factory(make: Callable[[], PartT]) -> Callable[[NoOptions, Context], PartT]:
    return lambda _options, _context: make()
