"""The steps that the settings choose: which plugin makes each, and what each one needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from paceline.contracts.steps.step import Step
from paceline.errors import SettingsError
from paceline.plugins.built_ins import BUILT_INS
from paceline.plugins.registry import Offer, Plugins
from paceline.settings.model import MAIN_MODEL, Settings
from paceline.text import nearest

#: Returns the file, variable or option that set the value at a path.
Origin = Callable[[tuple[str, ...]], str]


def step_offer(settings: Settings, plugins: Plugins, name: str) -> Offer[Step]:
    """The step of a name: that of ``steps.NAME.use``, or the registered one.

    Raises:
        SettingsError: it does not exist.
    """
    return plugins.step(settings.step(name).use or name)


def check_steps(settings: Settings, plugins: Plugins, origin: Origin) -> None:
    """Check ``run.steps`` and ``[steps]``: names, options, models and needs.

    Raises:
        SettingsError: something is wrong; the text names its place and what is allowed.
    """
    known = plugins.names("step")
    for name in settings.run.steps:
        try:
            plugins.check_exists("step", settings.step(name).use or name)
        except SettingsError as error:
            place = "run.steps" if settings.step(name).use is None else f"steps.{name}.use"
            where = origin(tuple(place.split(".")))
            raise SettingsError(f"{place}: {error} — in {where}") from None
    for name, step in settings.steps.items():
        place, where = f"steps.{name}", origin(("steps", name))
        if step.use is None and name not in {one.replace("_", "-") for one in known}:
            raise SettingsError(f"{place}: unknown step{nearest(name, known)} — in {where}")
        step_offer(settings, plugins, name).check(
            step.options(), place, partial(option_origin, origin, ("steps", name))
        )
        for model in step.model or ():
            try:
                settings.model(model)
            except SettingsError as error:
                raise SettingsError(f"{place}.model: {error} — in {where}") from None
        _check_needs(name, step.needs or (), settings.run.steps, where)
    _closed(_known_needs(settings))
    for name in settings.models:
        settings.model(name)


def _known_needs(settings: Settings) -> Mapping[str, frozenset[str]]:
    """The needs that are known before a step is made: those of the settings and built-in steps."""
    names, needs = settings.run.steps, dict[str, frozenset[str]]()
    for place, name in enumerate(names):
        step = settings.step(name)
        given: Sequence[str] = step.needs or ()
        built_in = name in BUILT_INS["step"] and step.use is None
        if step.needs is None and built_in and not settings.run.parallel_steps:
            given = names[place - 1 : place] if place else ()
        needs[name] = frozenset(given)
    return needs


def option_origin(origin: Origin, at: tuple[str, ...], path: Sequence[str]) -> str:
    """Where an option of the section ``at`` was set, as the end of a sentence."""
    return f" — in {origin((*at, *path))}"


def _check_needs(name: str, needs: Sequence[str], steps: Sequence[str], where: str) -> None:
    for needed in needs:
        if needed == name:
            raise SettingsError(f"steps.{name}.needs: {name!r} cannot need itself — in {where}")
        if needed not in steps:
            raise SettingsError(
                f"steps.{name}.needs: {needed!r} is not in run.steps"
                f"{nearest(needed, list(steps))} — in {where}"
            )


def needs_of(settings: Settings, steps: Sequence[tuple[str, Step]]) -> Mapping[str, frozenset[str]]:
    """The steps that each step needs, also indirectly.

    They are those of the settings, those that the step declares, or the step before it.

    Raises:
        SettingsError: a step needs one that is not in ``run.steps``, or the needs form a cycle.
    """
    names = [name for name, _ in steps]
    needs: dict[str, frozenset[str]] = {}
    for place, (name, step) in enumerate(steps):
        given: Sequence[str] | None = settings.step(name).needs
        if given is None:
            given = step.needs
        if given is None:
            given = names[place - 1 : place] if place else []
        missing = sorted(set(given) - set(names))
        if missing:
            raise SettingsError(
                f"step {name} needs {', '.join(missing)}, which is not in run.steps: add it there, "
                f"or set steps.{name}.needs"
            )
        needs[name] = frozenset(given)
    return _closed(needs)


@dataclass(frozen=True, slots=True)
class StepGraph:
    """The steps of the settings, and what each one needs.

    Attributes:
        steps: the steps with their names, in order.
        needs: the steps that each step needs, also indirectly.
    """

    steps: Sequence[tuple[str, Step]]
    needs: Mapping[str, frozenset[str]]

    def dependents(self, step: str) -> tuple[str, ...]:
        """The steps that need a step, also indirectly."""
        return tuple(name for name, needed in self.needs.items() if step in needed)


def _closed(needs: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
    """The needs with those of the needed steps: a run may leave out a step between two others."""
    left, closed = dict(needs), dict[str, frozenset[str]]()
    while left:
        ready = [name for name, needed in left.items() if needed <= closed.keys()]
        if not ready:
            raise SettingsError(
                f"the steps {', '.join(sorted(left))} need each other in a cycle: change "
                "steps.NAME.needs"
            )
        for name in ready:
            needed = left.pop(name)
            closed[name] = needed.union(*(closed[one] for one in needed))
    return closed


def chain_of(settings: Settings, name: str) -> Sequence[str]:
    """Names of the models of a step, in order of fallback."""
    return settings.step(name).model or [MAIN_MODEL]
