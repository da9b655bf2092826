"""The strategies of a forecast: real ones, made anew for each modelled worker."""

import copy
from collections.abc import Sequence

from paceline.contracts.admission.strategy import Strategy
from paceline.errors import PluginError
from paceline.generation.strategy_stack import StrategyStack
from paceline.plugins.context import Context
from paceline.runtime.part_factory import PartFactory

Named = Sequence[tuple[str, Strategy]]


def copied(named: Named | None) -> Named | None:
    """Copies of strategies that the embedding program made: it may be using its own.

    Those that count money are not copied, because they are not played.

    Raises:
        PluginError: a strategy cannot be copied, for example because it holds a task.
    """
    if named is None:
        return None
    return [
        (name, one if one.budget_limits is not None else _copy(name, one)) for name, one in named
    ]


def _copy(name: str, strategy: Strategy) -> Strategy:
    try:
        return copy.deepcopy(strategy)
    except Exception as error:
        raise PluginError(
            f"strategy {name} cannot be forecast, because it cannot be copied: {error}; "
            "register it as a plugin, so that the forecast makes one of its own"
        ) from error


def played(factory: PartFactory, context: Context) -> StrategyStack:
    """The strategies of one modelled worker, stacked; the caller closes them.

    Strategies that count money are left out: they need the rows of real runs.
    """
    named = copied(factory.ready.strategies)
    if named is not None:
        return StrategyStack([one for one in named if one[1].budget_limits is None])
    money = factory.money_strategies()
    return StrategyStack(factory.strategies(context, without=money))


def names(factory: PartFactory) -> list[str]:
    """Names of the strategies, outer first."""
    if factory.ready.strategies is not None:
        return [name for name, _ in factory.ready.strategies]
    return list(factory.settings.strategy)


def money_names(factory: PartFactory) -> Sequence[str]:
    """Names of the strategies that count money."""
    if factory.ready.strategies is not None:
        return [name for name, one in factory.ready.strategies if one.budget_limits is not None]
    return factory.money_strategies()
