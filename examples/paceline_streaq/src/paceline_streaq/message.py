"""The messages in the queue: JSON that names a run, validated before it is used.

streaQ's default format is pickle. With pickle, anyone with write access to Redis can run code in
a worker.
"""

import json
import re
import secrets
from collections.abc import Mapping
from typing import cast

#: The functions that a task may call.
RUN = "paceline_run"
DROP = "paceline_drop"

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Maximum size of a message in bytes. Ours have about 100.
_MAX_BYTES = 4096


def encode(task: Mapping[str, object]) -> str:
    """Encode a task of streaQ. The result of a failed one is an exception: its text is kept."""
    return json.dumps(task, separators=(",", ":"), default=str)


def decode(raw: str | bytes) -> dict[str, object]:
    """Decode a task of streaQ: ``f`` is the function, ``a`` and ``k`` are its arguments.

    A message that is not ours becomes a task that reports the fault. An exception here, or a
    missing field, would end streaQ's worker.
    """
    run_id = _run_id(raw)
    if run_id is None:
        return {"f": DROP, "a": [f"it is not a call of {RUN} with one run id"], "k": {}, "t": 0}
    return {"f": RUN, "a": [run_id], "k": {}, "t": 0}


def _run_id(raw: str | bytes) -> str | None:
    if len(raw) > _MAX_BYTES:
        return None
    try:
        task: object = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    fields = cast("dict[str, object]", task) if isinstance(task, dict) else {}
    arguments = fields.get("a")
    if fields.get("f") != RUN or not isinstance(arguments, list):
        return None
    match cast("list[object]", arguments):
        case [str(run_id)] if _RUN_ID.fullmatch(run_id):
            return run_id
        case _:
            return None


def new_task_id(run_id: str) -> str:
    """An id for a new task of a run. streaQ ignores a task with an id that it knows."""
    return f"{run_id}.{secrets.token_hex(8)}"


def run_of(task_id: str) -> str:
    """The run that a task is for."""
    return task_id.rpartition(".")[0]
