"""Finds plugins and makes their parts.

Built-in parts use the same hooks as third-party plugins. ``BUILT_INS`` says which module offers
which name, so that only the chosen modules are imported.
"""

import importlib
import logging
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import click
import pluggy
from pydantic import ValidationError

from paceline.contracts.admission.ledger import Ledger
from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.events import EventBus
from paceline.contracts.executor import Executor
from paceline.contracts.exporter import Exporter
from paceline.contracts.options import Options
from paceline.contracts.provider import Provider
from paceline.contracts.sink import Sink
from paceline.contracts.steps.check import Check
from paceline.contracts.steps.step import Step
from paceline.contracts.storage.store import Store
from paceline.contracts.telemetry import Telemetry
from paceline.errors import PacelineError, PluginError, SettingsError
from paceline.plugins import hookspecs
from paceline.plugins.built_ins import (
    BUILT_IN_COMMANDS,
    BUILT_INS,
    EXTRAS,
    EXTRAS_BY_KIND,
    Kind,
)
from paceline.plugins.context import Context
from paceline.plugins.installed import any_third_party
from paceline.plugins.masking import masked
from paceline.text import nearest, unknown
from paceline.validation import WHOLE, describe_fault, known_keys

log = logging.getLogger("paceline.plugins")

_HOOKS: Mapping[Kind, str] = {
    "strategy": "paceline_register_strategies",
    "executor": "paceline_register_executors",
    "store": "paceline_register_stores",
    "provider": "paceline_register_providers",
    "event-bus": "paceline_register_event_buses",
    "ledger": "paceline_register_ledgers",
    "step": "paceline_register_steps",
    "check": "paceline_register_checks",
    "exporter": "paceline_register_exporters",
    "sink": "paceline_register_sinks",
    "telemetry": "paceline_register_telemetry",
    "command": "paceline_register_commands",
}

PartT = TypeVar("PartT")

#: Returns where the option at a path was set, as the end of a sentence.
Origin = Callable[[Sequence[str]], str]


def _no_origin(_path: Sequence[str]) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Offer(Generic[PartT]):
    """One part that a plugin offers.

    Attributes:
        kind: the contract that it implements.
        name: its name in the settings.
        summary: one line about it.
        options: model of its options.
        plugin: the module or entry point that offers it.
        factory: makes the part from valid options.
        advice: one line about how to configure it; may be empty.
    """

    kind: Kind
    name: str
    summary: str
    options: type[Options]
    plugin: str
    factory: Callable[[Any, Context], PartT]
    advice: str = ""

    def check(self, raw: Mapping[str, object], place: str, origin: Origin = _no_origin) -> Options:
        """Validate raw options.

        Raises:
            SettingsError: an option is wrong; the text names the place and the value's origin.
        """
        try:
            return self.options.model_validate(dict(raw))
        except ValidationError as error:
            lines: list[str] = []
            for fault in error.errors():
                line, hint = describe_fault(fault), ""
                if fault["type"] == "extra_forbidden":
                    *place_of, name = fault["loc"]
                    hint = nearest(str(name), known_keys(self.options, place_of))
                at = f"{place}.{line}" if fault["loc"] else place + line.removeprefix(WHOLE)
                lines.append(f"{at}{hint}{origin([str(part) for part in fault['loc']])}")
            raise SettingsError("; ".join(lines)) from None

    def make(self, raw: Mapping[str, object], context: Context, place: str) -> PartT:
        """Make the part from raw options.

        Raises:
            PluginError: a package that the part needs is not installed, or the factory failed.
            SettingsError: an option is wrong.
        """
        options = self.check(raw, place)
        try:
            return self.factory(options, context)
        except PacelineError:
            raise
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            extra = EXTRAS_BY_KIND.get((self.kind, missing)) or EXTRAS.get(missing)
            fix = f"pip install 'paceline[{extra}]'" if extra else f"pip install {missing}"
            what = f"{self.kind} {self.name!r}"
            raise PluginError(f"{what} needs {missing}, which is not installed: {fix}") from None
        except Exception as error:  # noqa: BLE001
            what = f"the factory of {self.kind} {self.name!r} failed"
            log.debug("%s\n%s", what, masked(traceback.format_exc(), options, context.settings))
            reason = masked(_first_line(error), options, context.settings)
            raise PluginError(
                f"plugin {self.plugin}: {what}: {type(error).__name__}: {reason}"
            ) from None


@dataclass(frozen=True, slots=True)
class CommandOffer:
    """One command that a plugin offers."""

    name: str
    summary: str
    plugin: str
    load: Callable[[], click.Command]


@dataclass(frozen=True, slots=True)
class Broken:
    """A third-party plugin that could not be loaded."""

    name: str
    reason: str


class Plugins:
    """The plugins of this process."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._offers: dict[tuple[Kind, str], Offer[object]] = {}
        self._commands: dict[str, CommandOffer] = {}
        self._third_parties_loaded = False
        self.broken: list[Broken] = []

    # -- finding -------------------------------------------------------------------------

    def names(self, kind: Kind) -> list[str]:
        """All names of a kind, including third-party plugins; imports no built-in."""
        self._load_third_parties()
        found = {name for of_kind, name in self._offers if of_kind == kind}
        if kind == "command":
            found = set(self._commands)
        return sorted(found | set(BUILT_INS[kind]))

    def strategy(self, name: str) -> Offer[Strategy]:
        """A strategy by name."""
        return cast("Offer[Strategy]", self.offer("strategy", name))

    def executor(self, name: str) -> Offer[Executor]:
        """An executor by name."""
        return cast("Offer[Executor]", self.offer("executor", name))

    def store(self, name: str) -> Offer[Store]:
        """A store by the scheme of its URL."""
        return cast("Offer[Store]", self.offer("store", name))

    def provider(self, name: str) -> Offer[Provider]:
        """A provider by name."""
        return cast("Offer[Provider]", self.offer("provider", name))

    def event_bus(self, name: str) -> Offer[EventBus]:
        """An event bus by name."""
        return cast("Offer[EventBus]", self.offer("event-bus", name))

    def ledger(self, name: str) -> Offer[Ledger]:
        """A ledger by name."""
        return cast("Offer[Ledger]", self.offer("ledger", name))

    def step(self, name: str) -> Offer[Step]:
        """A step by name, or as ``PLUGIN:NAME`` if it has the name of a built-in one."""
        return cast("Offer[Step]", self.offer("step", _replacement(name)))

    def check(self, name: str) -> Offer[Check]:
        """A check by name."""
        return cast("Offer[Check]", self.offer("check", name))

    def exporter(self, name: str) -> Offer[Exporter]:
        """An exporter by the name of its format."""
        return cast("Offer[Exporter]", self.offer("exporter", name))

    def sink(self, name: str) -> Offer[Sink]:
        """A sink by name."""
        return cast("Offer[Sink]", self.offer("sink", name))

    def telemetry(self, name: str) -> Offer[Telemetry]:
        """Telemetry by name."""
        return cast("Offer[Telemetry]", self.offer("telemetry", name))

    def command(self, name: str) -> CommandOffer | None:
        """A command by name; ``None`` if it does not exist."""
        module = BUILT_INS["command"].get(name)
        if module is not None:
            self._load_built_in(module)
        else:
            self._load_third_parties()
        return self._commands.get(name)

    def command_summary(self, name: str) -> str:
        """One line about a command; imports no built-in command."""
        if name in BUILT_IN_COMMANDS:
            return BUILT_IN_COMMANDS[name]
        return self._commands[name].summary

    def offer(self, kind: Kind, name: str) -> Offer[object]:
        """A part by kind and name.

        Raises:
            SettingsError: it does not exist; the text lists the allowed names.
        """
        self._load_third_parties()
        module = BUILT_INS[kind].get(name)
        if module is not None:
            self._load_built_in(module)
        found = self._offers.get((kind, name))
        if found is None:
            raise SettingsError(unknown(f"{kind} {name!r}", name, self.names(kind)) + self._notes())
        return found

    def check_exists(self, kind: Kind, name: str) -> None:
        """Check that a part exists, without importing a built-in one.

        Raises:
            SettingsError: it does not exist; the text lists the allowed names.
        """
        if name not in BUILT_INS[kind]:
            self.offer(kind, name)

    def _notes(self) -> str:
        return "".join(f"; plugin {item.name} is broken: {item.reason}" for item in self.broken)

    # -- loading -------------------------------------------------------------------------

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin: a module or object with hook implementations.

        Raises:
            PluginError: it uses a hook wrongly, or offers a name that is taken.
        """
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise PluginError(f"plugin {name}: {_first_line(error)}") from None
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        for kind, hook in _HOOKS.items():
            caller = self._manager.subset_hook_caller(hook, others)
            if kind == "command":
                caller(register=self._command_register(name))
            else:
                caller(register=self._part_register(kind, name))

    def _part_register(self, kind: Kind, plugin: str) -> hookspecs.Register[object]:
        def register(
            name: str,
            factory: Callable[[hookspecs.OptionsT, Context], object],
            *,
            options: type[hookspecs.OptionsT],
            summary: str,
            advice: str = "",
        ) -> None:
            if kind == "step" and BUILT_INS["step"].get(name, plugin) != plugin:
                name = _replacement(f"{plugin}:{name}")
            self._refuse_taken(kind, name, plugin)
            self._offers[kind, name] = Offer(kind, name, summary, options, plugin, factory, advice)

        return register

    def _command_register(self, plugin: str) -> hookspecs.RegisterCommand:
        def register(name: str, load: Callable[[], click.Command], *, summary: str) -> None:
            self._refuse_taken("command", name, plugin)
            line = BUILT_IN_COMMANDS.get(name, summary)
            self._commands[name] = CommandOffer(name, line, plugin, load)

        return register

    def _refuse_taken(self, kind: Kind, name: str, plugin: str) -> None:
        taken = self._offers.get((kind, name)) or self._commands.get(
            name if kind == "command" else ""
        )
        owner = taken.plugin if taken is not None else BUILT_INS[kind].get(name, plugin)
        if owner != plugin:
            raise PluginError(f"plugin {plugin}: {kind} {name!r} is taken by {owner}")

    def _load_built_in(self, module: str) -> None:
        if not self._manager.has_plugin(module):
            self.register(importlib.import_module(module), module)

    def _load_third_parties(self) -> None:
        if self._third_parties_loaded:
            return
        self._third_parties_loaded = True
        if os.environ.get("PACELINE_PLUGINS", "").lower() == "none" or not any_third_party():
            return
        from importlib import metadata  # reading the metadata of all packages takes a while

        for entry in metadata.entry_points(group=hookspecs.PROJECT):
            # A broken third-party plugin must not break the other plugins and commands.
            try:
                self.register(entry.load(), entry.name)
            except Exception as error:  # noqa: BLE001
                self.broken.append(Broken(entry.name, _first_line(error)))


def _replacement(name: str) -> str:
    """``PLUGIN:NAME`` is the same for a module ``my_plugin`` and an entry point ``my-plugin``."""
    plugin, colon, step = name.rpartition(":")
    return plugin.replace("_", "-") + colon + step


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
