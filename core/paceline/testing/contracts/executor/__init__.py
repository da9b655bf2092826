"""What every executor guarantees: no run is lost or runs twice, each worker keeps its limit."""

from paceline.testing.contracts.executor.queueing import ExecutorQueueing
from paceline.testing.contracts.executor.working import ExecutorWorking


class ExecutorContract(ExecutorQueueing, ExecutorWorking):
    """Inherit from this suite and name an executor.

    The suite starts workers as processes, with a store, a step and a provider of its own. It
    decides when the calls of a run return.

    Declare:
        executor: name of the executor in the settings.
        modules: modules with its hooks, if it is not installed as a plugin.
        inspects: whether ``inspect`` lists the runs of each worker.
        broker: whether it has a broker that can be unreachable. Implement ``unreachable`` then.
        dies: whether a worker can be killed together with all processes that it started.
        patience: maximum seconds to wait for something that must happen.
        settles: seconds to wait before checking that something did not happen.
    """
