"""Runs the simulator on an event loop."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from paceline.process.stop_signals import stop_signals

from paceline_adapters.simulator.app import Routes
from paceline_adapters.simulator.engine import Engine
from paceline_adapters.simulator.figures import Figures
from paceline_adapters.simulator.options import SimulatorOptions
from paceline_adapters.simulator.request_log import RequestLog

#: Maximum number of connections that wait to be accepted.
_BACKLOG = 4096
#: Seconds for calls in flight when the server stops; hanging calls would never end.
_GRACE = 0.05


class SimulatorServer:
    """A running simulator."""

    def __init__(self, engine: Engine, host: str, port: int) -> None:
        self._engine = engine
        self.host = host
        self.port = port

    @property
    def root_url(self) -> str:
        """URL before ``/__paceline/stats`` and ``/healthz``, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """``base_url`` for an OpenAI client."""
        return f"{self.root_url}/v1"

    def figures(self) -> Figures:
        """The current figures, as ``GET /__paceline/stats``."""
        return self._engine.counters.snapshot()

    def reset(self) -> None:
        """Reset the figures, as ``POST /__paceline/reset``."""
        self._engine.reset()


@asynccontextmanager
async def running(options: SimulatorOptions | None = None) -> AsyncGenerator[SimulatorServer, None]:
    """Run a simulator on the current event loop; it listens when the block starts.

    By default it listens on a free port of the loopback.

    Raises:
        OSError: the address is not available, or the log cannot be written.
    """
    options = options or SimulatorOptions()
    engine = Engine(options)
    request_log = RequestLog(options.log)
    # A handler is cancelled when its client disconnects.
    runner = web.AppRunner(
        Routes(engine, request_log).app(),
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
        request_log.close()


async def serve(options: SimulatorOptions, ready: Callable[[SimulatorServer], None]) -> int:
    """Run a simulator until a signal stops it; returns the number of the signal.

    It calls ``ready`` when it listens.

    Raises:
        OSError: the address is not available, or the log cannot be written.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    for number in stop_signals():
        loop.add_signal_handler(number, stop, number)
    async with running(options) as server:
        ready(server)
        return await stopped
