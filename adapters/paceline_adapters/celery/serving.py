"""``paceline worker`` as a Celery worker."""

import logging
import os
import secrets
import signal
import socket
import warnings
from typing import Any

from paceline import Context

from paceline_adapters.celery.executor import CeleryExecutor
from paceline_adapters.celery.hooks import CannotStart, Hooks, connect
from paceline_adapters.celery.untyped import security_warning, signals, worker_state


def serve(executor: CeleryExecutor, context: Context, concurrency: int) -> int:
    """Be a Celery worker until SIGINT or SIGTERM.

    The first signal lets calls in flight end within ``run.grace`` seconds, the second stops
    at once; either way every run is handed back.

    Args:
        executor: whose app and options to use.
        context: settings and plugins.
        concurrency: roadmaps at once.

    Returns:
        The process's exit code: 130 and 143 after SIGINT and SIGTERM.

    Raises:
        PacelineError: the worker cannot start.
    """
    executor.check_broker()
    options = executor.options
    hooks = connect(context, options)
    _share_log()
    # Celery warns of root because of pickle, which is switched off.
    warnings.filterwarnings("ignore", category=security_warning())
    try:
        worker = executor.app.Worker(
            hostname=f"paceline-{os.getpid()}-{secrets.token_hex(2)}@{socket.gethostname()}",
            pool=options.pool,
            concurrency=concurrency,
            queues=[options.queue],
            prefetch_multiplier=options.prefetch_multiplier,
            quiet=True,
            # Nobody listens to them, and without them a worker starts at once.
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
    except CannotStart as stopped:
        raise stopped.error from None
    stopping = _Signals(hooks)
    # Celery's own handlers talk of a cold shutdown, and their second signal changes nothing.
    worker.install_platform_tweaks = stopping.install
    worker.start()
    return stopping.exit_code or int(worker.exitcode or 0)


class _Signals:
    """Handles SIGINT and SIGTERM in the main process.

    Args:
        hooks: knows the processes to tell.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self.exit_code = 0

    def install(self, _worker: Any) -> None:
        """Take the place of Celery's handlers."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        processes = self._hooks.processes
        if self.exit_code:
            if processes is not None:
                processes.bell.stop()
            return
        self.exit_code = 128 + number
        if processes is not None:
            processes.drain()
        # Celery looks at it between events, and begins to shut down with this exit code.
        worker_state().should_stop = 0


def _share_log() -> None:
    """Celery's warnings go where ours go, and its own handlers are left out."""

    def configured(**_: Any) -> None:
        return None

    signals.setup_logging.connect(configured, weak=False, dispatch_uid="paceline-log")
    # The pool's processes are logged about by the second.
    for theirs in (logging.getLogger("celery"), logging.getLogger("multiprocessing")):
        theirs.setLevel(logging.WARNING)
        for handler in logging.getLogger("paceline").handlers:
            theirs.addHandler(handler)
