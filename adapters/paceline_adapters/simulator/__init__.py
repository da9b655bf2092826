"""A simulated OpenAI-compatible provider for development, tests and benchmarks.

It has latencies, limits and faults like a real provider, and it counts what a provider would bill.
Latencies, contents and faults depend only on the seed and the prompt. Two runs of one workload
therefore get the same responses, in any order of arrival.

    async with running(SimulatorOptions(speed=100)) as server:
        client = AsyncOpenAI(base_url=server.base_url, api_key="any")

The names below are loaded on first use, so ``--help`` does not import the web server.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paceline_adapters.simulator.figures import Figures, StepFigures
    from paceline_adapters.simulator.options import SimulatorOptions
    from paceline_adapters.simulator.server import SimulatorServer, running

__all__ = ["Figures", "SimulatorOptions", "SimulatorServer", "StepFigures", "running"]

_MODULES = {
    "Figures": "figures",
    "StepFigures": "figures",
    "SimulatorOptions": "options",
    "SimulatorServer": "server",
    "running": "server",
}


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
