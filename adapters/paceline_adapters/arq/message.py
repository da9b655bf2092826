"""What lies in the queue: JSON that names a run, checked before anything is done with it.

arq's own format is pickle, with which whoever can write to Redis can run code in a worker.
"""

import json
import re
from collections.abc import Mapping
from typing import cast

#: The jobs that workers know.
RUN = "paceline_run"
DROP = "paceline_drop"

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Bytes of a message; ours has about 120.
_LARGEST = 4096
#: Milliseconds since 1970 that arq can show as a date.
_LAST_TIME = 2**47


def encode(job: Mapping[str, object]) -> bytes:
    """A job as arq describes it: ``t`` try, ``f`` function, ``a`` and ``k`` arguments."""
    return json.dumps(job, separators=(",", ":")).encode()


def decode(raw: bytes) -> dict[str, object]:
    """A job as arq describes it; one that only reports the fault where it is none of ours.

    Raising here would make arq print a traceback for what is a stranger's message.
    """
    try:
        return _checked(raw)
    except _Fault as fault:
        return {"t": None, "f": DROP, "a": [str(fault)], "k": {}, "et": 0}


class _Fault(Exception):
    """What is wrong with a message."""


def _checked(raw: bytes) -> dict[str, object]:
    if len(raw) > _LARGEST:
        raise _Fault(f"it has {len(raw)} bytes, at most {_LARGEST} are allowed")
    try:
        job: object = json.loads(raw)
    except (ValueError, RecursionError):
        raise _Fault("it is not JSON") from None
    if not isinstance(job, dict):
        raise _Fault("it is no JSON object")
    fields = cast("dict[str, object]", job)
    function, arguments, named = fields.get("f"), fields.get("a"), fields.get("k")
    if function != RUN:
        raise _Fault(f"it asks for something else than {RUN}")
    if not isinstance(arguments, list) or named != {}:
        raise _Fault("it must hold one run id")
    values = cast("list[object]", arguments)
    run_id = values[0] if len(values) == 1 else None
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise _Fault("it must hold one run id")
    queued_at = fields.get("et")
    if type(queued_at) is not int or not 0 <= queued_at < _LAST_TIME:
        raise _Fault("it says not when it was queued")
    return {"t": None, "f": RUN, "a": [run_id], "k": {}, "et": queued_at}
