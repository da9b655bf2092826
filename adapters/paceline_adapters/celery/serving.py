"""``paceline worker`` as a Celery worker."""

import logging
import os
import secrets
import signal
import socket
import warnings
from typing import Any

from paceline import Context
from paceline.process.stop_signals import stop_signals

from paceline_adapters.celery.hooks import CannotStart, Hooks, connect
from paceline_adapters.celery.options import CeleryOptions
from paceline_adapters.celery.untyped import security_warning, signals, worker_state


def serve(app: Any, options: CeleryOptions, context: Context, concurrency: int) -> int:
    """Run a Celery worker until a signal stops it.

    After the first signal, calls in flight may finish within ``run.grace`` seconds. The second
    signal stops them at once. Either way, every run is handed back.

    Returns:
        The exit code of the process: 129 after SIGHUP, 130 after SIGINT, 143
        after SIGTERM.

    Raises:
        PacelineError: the worker cannot start.
    """
    hooks = connect(context, options)
    _share_log()
    # Celery's warning about running as root is about pickle, which is switched off.
    warnings.filterwarnings("ignore", category=security_warning())
    try:
        worker = app.Worker(
            hostname=f"paceline-{os.getpid()}-{secrets.token_hex(2)}@{socket.gethostname()}",
            pool=options.pool,
            concurrency=concurrency,
            queues=[options.queue],
            prefetch_multiplier=options.prefetch_multiplier,
            quiet=True,
            # paceline uses none of these, and a worker without them starts at once.
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
    except CannotStart as stopped:
        raise stopped.error from None
    handlers = _SignalHandlers(hooks)
    # Celery's own handlers announce a cold shutdown, and ignore a second signal.
    worker.install_platform_tweaks = handlers.install
    worker.start()
    return handlers.exit_code or int(worker.exitcode or 0)


class _SignalHandlers:
    """Handles the signals to stop in the main process."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self.exit_code = 0

    def install(self, _worker: Any) -> None:
        """Replace Celery's handlers."""
        for number in stop_signals():
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        processes = self._hooks.processes
        if self.exit_code:
            if processes is not None:
                processes.pipes.request_stop()
            return
        self.exit_code = 128 + number
        if processes is not None:
            processes.request_drain()
        # Celery reads this flag between events, and then begins to shut down.
        worker_state().should_stop = 0


def _share_log() -> None:
    """Write Celery's warnings to paceline's log handlers, instead of Celery's own."""

    def configured(**_: Any) -> None:
        return None

    signals.setup_logging.connect(configured, weak=False, dispatch_uid="paceline-log")
    # At lower levels, Celery logs the processes of its pool every second.
    for theirs in (logging.getLogger("celery"), logging.getLogger("multiprocessing")):
        theirs.setLevel(logging.WARNING)
        for handler in logging.getLogger("paceline").handlers:
            theirs.addHandler(handler)
