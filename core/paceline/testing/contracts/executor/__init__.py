"""What every executor promises: no run is lost, none runs twice, a worker keeps its bounds."""

from paceline.testing.contracts.executor.queueing import ExecutorQueueing
from paceline.testing.contracts.executor.working import ExecutorWorking


class ExecutorContract(ExecutorQueueing, ExecutorWorking):
    """Inherit it, and name an executor.

    Its workers are processes that the suite starts, with a store, a step and a provider of
    its own: the suite holds the calls of a run and lets them go.

    Declare:
        executor: its name in the settings.
        modules: modules with its hooks, where it is not installed as a plugin.
        inspects: whether ``inspect`` names what each worker holds.
        broker: whether it has a broker that can be away; ``unreachable`` is then asked.
        dies: whether its worker processes can be killed, all of them with the one that serves.
        patience: seconds that a worker may take for what must come.
        settles: seconds after which what must not come would have come.
    """
