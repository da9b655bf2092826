"""The one task: a message names a run, and this process's worker works on it."""

import logging
import re

from paceline import PacelineError

#: The task's name; messages carry it.
TASK = "paceline.generate"
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")

log = logging.getLogger("paceline.worker")


def generate(*arguments: object, **named: object) -> str | None:
    """Work on the run that a message names; returns its status then.

    A message that names no run is dropped. On the pool ``prefork`` the soft time limit is
    raised here: the run is stopped as its deadline would, and the next task begins clean.

    Raises:
        PacelineError: no worker of this process takes runs.
    """
    from paceline_adapters.celery.hooks import hear_no_more, loop_thread
    from paceline_adapters.celery.untyped import exceptions

    run_id = arguments[0] if len(arguments) == 1 and not named else None
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        log.error("a message was dropped: %s wants one argument, the id of a run", TASK)
        return None
    thread = loop_thread()
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
        # Somebody sent SIGTERM to this very process (a whole process group gets it).
        hear_no_more()
        thread.drain()
        raise
