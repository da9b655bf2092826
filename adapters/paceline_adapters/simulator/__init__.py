"""Our own OpenAI-compatible server: for development, tests and benchmarks.

It answers like a provider would, seconds later, within limits and with faults, and it counts
what a provider would bill. Everything it draws (latencies, contents, faults) follows from its
seed and the prompt alone, so two runs of one workload meet the same provider in any order of
arrival.

    async with running(SimulatorOptions(speed=100)) as server:
        client = AsyncOpenAI(base_url=server.base_url, api_key="any")

The names below load when they are used: the command's ``--help`` needs no web server.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paceline_adapters.simulator.figures import Figures, StepFigures
    from paceline_adapters.simulator.options import SimulatorOptions
    from paceline_adapters.simulator.server import SimulatorServer, running

__all__ = ["Figures", "SimulatorOptions", "SimulatorServer", "StepFigures", "running"]

_HOMES = {
    "Figures": "figures",
    "StepFigures": "figures",
    "SimulatorOptions": "options",
    "SimulatorServer": "server",
    "running": "server",
}


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
