"""Connects Celery's signals to the processes of a worker."""

import logging
import signal
from typing import Any

from paceline import Context, PacelineError

from paceline_adapters.celery.host_app import check_app
from paceline_adapters.celery.options import CeleryOptions
from paceline_adapters.celery.processes import Processes
from paceline_adapters.celery.sigterm import exit_once, ignore_sigterm
from paceline_adapters.celery.task import TASK
from paceline_adapters.celery.untyped import child_index, pool_name, set_exit_handler, signals

log = logging.getLogger("paceline.worker")


class CannotStart(SystemExit):
    """Ends a worker that cannot start, with a one-line message.

    Celery logs and ignores an exception of a signal receiver, but not a ``SystemExit``.
    """

    def __init__(self, error: PacelineError) -> None:
        super().__init__(f"paceline: error: {error}")
        self.error = error


class Hooks:
    """Receives Celery's signals in one process."""

    def __init__(self, context: Context, options: CeleryOptions) -> None:
        self.context = context
        self.options = options
        self.processes: Processes | None = None

    def connect(self) -> None:
        """Register for Celery's signals, in place of the hooks that were registered before."""
        for name in (
            "worker_init",
            "worker_process_init",
            "worker_ready",
            "worker_shutting_down",
            "worker_process_shutdown",
            "worker_shutdown",
        ):
            celery_signal, uid = getattr(signals, name), f"paceline-{name}"
            # Celery keeps the first receiver of an id and drops later ones without a word.
            celery_signal.disconnect(dispatch_uid=uid)
            celery_signal.connect(getattr(self, name), weak=False, dispatch_uid=uid)

    # -- the main process ----------------------------------------------------------------

    def worker_init(self, sender: Any, **_: Any) -> None:
        """Prepare a worker that is about to start, if it consumes our queue."""
        if TASK not in sender.app.tasks:
            return
        if self.options.queue not in sender.app.amqp.queues.consume_from:
            return
        concurrency = max((sender.concurrency, *(sender.options.get("autoscale") or ())))
        processes = Processes(self.context)
        try:
            check_app(sender.app, self.options.queue)
            processes.prepare(pool_name(sender.pool_cls), concurrency)
        except PacelineError as error:
            raise CannotStart(error) from None
        self.processes = processes

    def worker_ready(self, sender: Any, **_: Any) -> None:
        """Log that the worker takes messages."""
        if self.processes is not None:
            pool = sender.pool.limit
            log.info("worker %s is ready: %d roadmaps at once", sender.hostname, pool)

    def worker_shutting_down(self, **_: Any) -> None:
        """Drain after the first signal that ends Celery, and stop after the second.

        Runs in Celery's signal handler.
        """
        if self.processes is None or self.processes.drain_requested:
            return
        self.processes.request_drain()
        celerys = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def on_second_signal(*_: object) -> None:
            if self.processes is not None:
                self.processes.pipes.request_stop()
            for number, handler in celerys.items():
                signal.signal(number, handler)

        for number in celerys:
            signal.signal(number, on_second_signal)

    def worker_shutdown(self, **_: Any) -> None:
        """Close the worker after the pool has ended."""
        if self.processes is not None:
            self.processes.end()

    # -- the pool's processes ------------------------------------------------------------

    def worker_process_init(self, **_: Any) -> None:
        """Start the event loop in a process of the pool that was just forked."""
        if self.processes is not None:
            set_exit_handler(exit_once)
            self.processes.begin(child_index())

    def worker_process_shutdown(self, **_: Any) -> None:
        """Hand everything back before a process leaves the pool."""
        if self.processes is not None:
            ignore_sigterm()
            self.processes.end()


def connect(context: Context, options: CeleryOptions) -> Hooks:
    """Register for Celery's signals. Only the last call in a process has an effect."""
    hooks = Hooks(context, options)
    hooks.connect()
    return hooks
