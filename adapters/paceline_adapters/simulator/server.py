"""Runs the simulator on an event loop."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from paceline_adapters.simulator.app import Routes
from paceline_adapters.simulator.engine import Engine
from paceline_adapters.simulator.figures import Figures
from paceline_adapters.simulator.journal import Journal
from paceline_adapters.simulator.options import SimulatorOptions

#: Connections that wait to be accepted: a thousand clients may come in one breath.
_BACKLOG = 4096
#: Seconds that calls in flight get when the server stops; a hanging one would take for ever.
_GRACE = 0.05


class SimulatorServer:
    """A simulator that listens.

    Attributes:
        host: the address it listens on.
        port: its port, also where a free one was asked for.
    """

    def __init__(self, engine: Engine, host: str, port: int) -> None:
        self._engine = engine
        self.host = host
        self.port = port

    @property
    def root_url(self) -> str:
        """Where ``/__paceline/stats`` and ``/healthz`` are, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its ``base_url``."""
        return f"{self.root_url}/v1"

    def figures(self) -> Figures:
        """What was counted until now; the same as ``GET /__paceline/stats``."""
        return self._engine.tally.snapshot()

    def reset(self) -> None:
        """Count from zero; the same as ``POST /__paceline/reset``."""
        self._engine.reset()


@asynccontextmanager
async def running(
    options: SimulatorOptions | None = None,
) -> AsyncGenerator[SimulatorServer, None]:
    """Run a simulator on the caller's loop, listening before the block is entered.

    Args:
        options: what it is like; by default on a free port of the loopback.

    Raises:
        OSError: the address cannot be listened on, or the log not be written.
    """
    options = options or SimulatorOptions()
    engine = Engine(options)
    journal = Journal(options.log)
    # Cancelled handlers are how we learn that a client went.
    runner = web.AppRunner(
        Routes(engine, journal).app(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_GRACE,
    )
    try:
        await runner.setup()
        await web.TCPSite(runner, options.host, options.port, backlog=_BACKLOG).start()
        yield SimulatorServer(engine, options.host, runner.addresses[0][1])
    finally:
        await runner.cleanup()
        journal.close()


async def serve(options: SimulatorOptions, ready: Callable[[SimulatorServer], None]) -> int:
    """Run a simulator until SIGINT or SIGTERM, and return which of them came.

    Args:
        options: what it is like.
        ready: called once it listens.

    Raises:
        OSError: the address cannot be listened on, or the log not be written.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    async with running(options) as server:
        ready(server)
        return await stopped
