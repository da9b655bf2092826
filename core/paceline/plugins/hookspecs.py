"""Every hook of paceline.

A plugin implements any of these with ``@paceline.hookimpl`` in a module, and names that
module under the entry-point group ``paceline``::

    [project.entry-points.paceline]
    my-plugin = "my_package.paceline_plugin"

Hooks register *factories*. A factory is called on the event loop of the process that uses the
part. Import heavy libraries inside the factory, so that importing the plugin stays cheap.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import click
import pluggy

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
from paceline.plugins.context import Context

PROJECT = "paceline"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

PartT_contra = TypeVar("PartT_contra", contravariant=True)
OptionsT = TypeVar("OptionsT", bound=Options)


class Register(Protocol[PartT_contra]):
    """Passed to a hook, which calls it once for each part."""

    def __call__(
        self,
        name: str,
        factory: Callable[[OptionsT, Context], PartT_contra],
        *,
        options: type[OptionsT],
        summary: str,
        advice: str = "",
    ) -> None:
        """Offer a part.

        Args:
            name: the name in the settings: lower case, words joined by ``-``.
            factory: makes the part from its validated options and the process's context.
            options: model of its section in the settings; ``NoOptions`` if it has no options.
            summary: one line for ``paceline plugins``: what it does and when to choose it.
            advice: one line for ``paceline plugins show``: how to configure it.
        """


class RegisterCommand(Protocol):
    """Passed to the hook for commands, which calls it once for each command."""

    def __call__(self, name: str, load: Callable[[], click.Command], *, summary: str) -> None:
        """Offer ``paceline NAME``. ``load`` returns the command; it is called on first use."""


@hookspec
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Offer strategies. A factory is called once per worker process."""


@hookspec
def paceline_register_executors(register: Register[Executor]) -> None:
    """Offer executors. A factory is called in workers and in processes that submit runs."""


@hookspec
def paceline_register_stores(register: Register[Store]) -> None:
    """Offer stores. The name is the scheme of ``store.url``."""


@hookspec
def paceline_register_providers(register: Register[Provider]) -> None:
    """Offer providers. A factory is called once per worker process, after the fork."""


@hookspec
def paceline_register_event_buses(register: Register[EventBus]) -> None:
    """Offer event buses, named by ``events.bus``."""


@hookspec
def paceline_register_ledgers(register: Register[Ledger]) -> None:
    """Offer ledgers, which keep the state of limits that workers share."""


@hookspec
def paceline_register_steps(register: Register[Step]) -> None:
    """Offer steps, named by ``run.steps``.

    A step with the name of a built-in one is offered as ``PLUGIN:NAME``, for ``steps.NAME.use``.
    """


@hookspec
def paceline_register_checks(register: Register[Check]) -> None:
    """Offer checks of finished answers, named by ``steps.NAME.checks``."""


@hookspec
def paceline_register_exporters(register: Register[Exporter]) -> None:
    """Offer formats for ``paceline export --format``. A factory is called once per export."""


@hookspec
def paceline_register_sinks(register: Register[Sink]) -> None:
    """Offer sinks, named by ``sinks.NAME.use``. A factory is called once for each such section."""


@hookspec
def paceline_register_telemetry(register: Register[Telemetry]) -> None:
    """Offer telemetry. A factory is called once per process, after the fork."""


@hookspec
def paceline_register_commands(register: RegisterCommand) -> None:
    """Offer commands of the ``paceline`` command line."""
