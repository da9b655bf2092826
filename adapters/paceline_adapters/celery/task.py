"""The only task: its message names a run, and the worker of this process generates it."""

import logging
import re

from paceline import PacelineError

from paceline_adapters.celery.runtime import runtime

#: The task's name in messages.
TASK = "paceline.generate"
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")

log = logging.getLogger("paceline.worker")


def generate(*arguments: object, **named: object) -> str | None:
    """Generate the run that a message names, and return its status afterwards.

    A message that names no run is dropped. On the pool ``prefork``, Celery raises the soft
    time limit here: the run is stopped like by its deadline, and the next task starts clean.

    Raises:
        PacelineError: this process has no worker.
    """
    from paceline_adapters.celery.untyped import exceptions

    run_id = arguments[0] if len(arguments) == 1 and not named else None
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        log.error("dropped a message: %s expects one argument, the id of a run", TASK)
        return None
    thread = runtime.loop_thread
    if thread is None:
        raise PacelineError(
            "this Celery worker was not started for roadmaps: name their queue with -Q"
        )
    try:
        return thread.work(run_id)
    except exceptions.SoftTimeLimitExceeded:
        log.warning("run %s reached the soft time limit", run_id, extra={"run_id": run_id})
        thread.expire(run_id)
        return None
    except SystemExit:
        # This process got SIGTERM, alone or with its whole process group.
        thread.drain()
        raise
