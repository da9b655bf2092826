"""What every strategy promises: nothing leaks, nothing overruns, nobody starves."""

from paceline.testing.contracts.strategy.any_order import StrategyAnyOrder
from paceline.testing.contracts.strategy.apart import StrategyApart
from paceline.testing.contracts.strategy.limit import StrategyLimit
from paceline.testing.contracts.strategy.waiting import StrategyWaiting
from paceline.testing.contracts.strategy.workers import StrategyWorkers


class StrategyContract(
    StrategyLimit, StrategyWaiting, StrategyApart, StrategyWorkers, StrategyAnyOrder
):
    """Inherit it, say what your strategy limits, and make one.

    Declare:
        limit: most permits out at once; make the strategy with a small one, as 2, so that
            examples stay small. ``None``: it limits nothing.
        least: fewest permits that an adaptive limit falls to, from ``limit``, where it is to
            begin; ``None``: it stays there.
        level: the level that it limits.
        per: the field of `Work` for each of whose values the limit counts apart, as
            ``run_id``; empty: it counts all work together.
        fair: whether those of one process are served in the order in which they came.
        shared: whether the limit holds over all workers, by the ledger.
        settles: seconds within which what is free reaches who waits.
        holds_refusals: whether a refused call holds back all calls to its model for as long
            as the provider asked.
    """
