"""Where Celery's signals meet our processes."""

import logging
import signal
import threading
from typing import Any

from paceline import Context, PacelineError

from paceline_adapters.celery.loop import LoopThread
from paceline_adapters.celery.plugin import CeleryOptions
from paceline_adapters.celery.processes import Processes
from paceline_adapters.celery.task import TASK
from paceline_adapters.celery.untyped import child_index, pool_name, signals

log = logging.getLogger("paceline.worker")

_hooks: "Hooks | None" = None


class CannotStart(SystemExit):
    """Ends a worker that cannot start, with one line.

    Celery logs what a signal's receiver raises, and goes on; this is what it lets through.

    Args:
        error: why.
    """

    def __init__(self, error: PacelineError) -> None:
        super().__init__(f"paceline: error: {error}")
        self.error = error


class Hooks:
    """Hears Celery's signals in one process.

    Args:
        context: settings and plugins.
        options: the executor's options.
    """

    def __init__(self, context: Context, options: CeleryOptions) -> None:
        self.context = context
        self.options = options
        self.processes: Processes | None = None

    def connect(self) -> None:
        """Be called by Celery."""
        for name in (
            "worker_init",
            "worker_process_init",
            "worker_ready",
            "worker_shutting_down",
            "worker_process_shutdown",
            "worker_shutdown",
        ):
            receiver = getattr(self, name)
            getattr(signals, name).connect(receiver, weak=False, dispatch_uid=f"paceline-{name}")

    # -- the main process ----------------------------------------------------------------

    def worker_init(self, sender: Any, **_: Any) -> None:
        """A worker is about to start: get ready, if it takes runs."""
        if TASK not in sender.app.tasks:
            return
        if self.options.queue not in sender.app.amqp.queues.consume_from:
            return
        most = max((sender.concurrency, *(sender.options.get("autoscale") or ())))
        processes = Processes(self.context)
        try:
            processes.prepare(pool_name(sender.pool_cls), most)
        except PacelineError as error:
            raise CannotStart(error) from None
        self.processes = processes

    def worker_ready(self, sender: Any, **_: Any) -> None:
        """The worker takes messages."""
        if self.processes is not None:
            pool = sender.pool.limit
            log.info("worker %s is ready: %d roadmaps at once", sender.hostname, pool)

    def worker_shutting_down(self, **_: Any) -> None:
        """Celery was told to end by a signal: drain, and stop at the next one.

        Runs in Celery's signal handler.
        """
        if self.processes is None or self.processes.told:
            return
        self.processes.drain()
        earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def again(*_: object) -> None:
            if self.processes is not None:
                self.processes.bell.stop()
            for number, handler in earlier.items():
                signal.signal(number, handler)

        for number in earlier:
            signal.signal(number, again)

    def worker_shutdown(self, **_: Any) -> None:
        """The pool has ended."""
        if self.processes is not None:
            self.processes.end()

    # -- the pool's processes ------------------------------------------------------------

    def worker_process_init(self, **_: Any) -> None:
        """We are a process of the pool, just forked."""
        if self.processes is not None:
            self.processes.begin(child_index())

    def worker_process_shutdown(self, **_: Any) -> None:
        """We are about to leave the pool."""
        hear_no_more()
        if self.processes is not None:
            self.processes.end()


def connect(context: Context, options: CeleryOptions) -> Hooks:
    """Hear Celery's signals from now on; the last call of a process counts."""
    global _hooks
    _hooks = Hooks(context, options)
    _hooks.connect()
    return _hooks


def hear_no_more() -> None:
    """Let no further SIGTERM interrupt a process of the pool on its way out.

    Each raises ``SystemExit`` there, and the second would end it before its runs are handed
    back. Who wants it to stop at once has the main process to tell.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def loop_thread() -> LoopThread | None:
    """The loop of this process, if it takes runs."""
    if _hooks is None or _hooks.processes is None:
        return None
    return _hooks.processes.thread
