"""What every strategy promises: no leak, no overrun, no starving waiter."""

from paceline.testing.contracts.strategy.any_order import StrategyAnyOrder
from paceline.testing.contracts.strategy.apart import StrategyApart
from paceline.testing.contracts.strategy.limit import StrategyLimit
from paceline.testing.contracts.strategy.waiting import StrategyWaiting
from paceline.testing.contracts.strategy.workers import StrategyWorkers


class StrategyContract(
    StrategyLimit, StrategyWaiting, StrategyApart, StrategyWorkers, StrategyAnyOrder
):
    """Inherit it, declare what your strategy limits, and make one.

    As in the pipeline, it receives only work of its ``levels``.

    Declare:
        limit: most permits out at once. Make the strategy with a small limit such as 2, so that
            examples stay small. ``None``: it has no limit.
        least: lowest value of an adaptive limit, which must begin at ``limit``. ``None``: the
            limit does not change.
        level: the level that it limits.
        per: the field of `Work` that has a limit per value, such as ``run_id``. Empty: one
            limit for all work.
        fair: whether the waiters of one process are served in their order.
        shared: whether the limit counts the permits of all workers, by the ledger.
        settles: seconds within which a free permit reaches a waiter.
        holds_refusals: whether a refused call makes it hold back all calls to the model for as
            long as the provider asked.
    """
