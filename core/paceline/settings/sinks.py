"""The sinks that the settings choose: which plugin makes each, and what each receives."""

from collections.abc import Sequence
from functools import partial

from paceline.contracts.sink import Sink
from paceline.contracts.storage.outbox import SinkRoute
from paceline.errors import SettingsError
from paceline.plugins.built_ins import BUILT_INS
from paceline.plugins.registry import Offer, Plugins
from paceline.settings.model import Settings
from paceline.settings.steps import Origin, option_origin
from paceline.text import nearest


def sink_offer(settings: Settings, plugins: Plugins, name: str) -> Offer[Sink]:
    """The sink of a section: that of ``sinks.NAME.use``, or the registered one of its name.

    Raises:
        SettingsError: it does not exist.
    """
    return plugins.sink(settings.sinks[name].use or name)


def sink_routes(settings: Settings) -> Sequence[SinkRoute]:
    """What each sink of the settings receives."""
    return [
        SinkRoute(
            sink=name,
            kinds=frozenset(one.kinds),
            steps=None if one.steps is None else frozenset(one.steps),
        )
        for name, one in settings.sinks.items()
    ]


def may_write_with(settings: Settings, name: str) -> bool:
    """Whether a sink may be transactional: no built-in one is."""
    return (settings.sinks[name].use or name) not in BUILT_INS["sink"]


def check_sinks(settings: Settings, plugins: Plugins, origin: Origin) -> None:
    """Check ``[sinks]``: names, options and steps.

    Raises:
        SettingsError: something is wrong; the text names its place and what is allowed.
    """
    for name, sink in settings.sinks.items():
        place, where = f"sinks.{name}", origin(("sinks", name))
        try:
            offer = sink_offer(settings, plugins, name)
        except SettingsError as error:
            if sink.use is not None:
                raise SettingsError(f"{place}.use: {error} — in {where}") from None
            known = nearest(name, plugins.names("sink"))
            raise SettingsError(
                f"{place}: unknown sink{known}: to use one of these under this name, set "
                f"{place}.use — in {where}"
            ) from None
        for step in sink.steps or ():
            if step not in settings.run.steps:
                raise SettingsError(
                    f"{place}.steps: {step!r} is not in run.steps"
                    f"{nearest(step, list(settings.run.steps))} — in {where}"
                )
        offer.check(sink.options(), place, partial(option_origin, origin, ("sinks", name)))
