"""The messages in the queue: JSON that names a run, validated before it is used.

arq's default format is pickle. With pickle, anyone with write access to Redis can run code in
a worker.
"""

import json
import re
from collections.abc import Mapping
from typing import cast

#: The functions that a job may call.
RUN = "paceline_run"
DROP = "paceline_drop"

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Maximum size of a message in bytes. Ours have about 120.
_MAX_BYTES = 4096
#: Milliseconds since 1970: the largest time that arq can show as a date.
_MAX_TIME = 2**47


def encode(job: Mapping[str, object]) -> bytes:
    """Encode a job of arq: ``t`` is the try, ``f`` the function, ``a`` and ``k`` its arguments."""
    return json.dumps(job, separators=(",", ":")).encode()


def decode(raw: bytes) -> dict[str, object]:
    """Decode a job of arq. A message that is not ours becomes a job that reports the fault.

    An exception here would make arq print a traceback for a message that is not ours.
    """
    try:
        return _validated(raw)
    except _Fault as fault:
        return {"t": None, "f": DROP, "a": [str(fault)], "k": {}, "et": 0}


class _Fault(Exception):
    """What is wrong with a message."""


def _validated(raw: bytes) -> dict[str, object]:
    if len(raw) > _MAX_BYTES:
        raise _Fault(f"a message must have at most {_MAX_BYTES} bytes, got {len(raw)}")
    try:
        job: object = json.loads(raw)
    except (ValueError, RecursionError):
        raise _Fault("it is not JSON") from None
    if not isinstance(job, dict):
        raise _Fault("it is not a JSON object")
    fields = cast("dict[str, object]", job)
    function, arguments, named = fields.get("f"), fields.get("a"), fields.get("k")
    if function != RUN:
        raise _Fault(f"it calls a function other than {RUN}")
    if not isinstance(arguments, list) or named != {}:
        raise _Fault("it must hold one run id")
    values = cast("list[object]", arguments)
    run_id = values[0] if len(values) == 1 else None
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise _Fault("it must hold one run id")
    queued_at = fields.get("et")
    if type(queued_at) is not int or not 0 <= queued_at < _MAX_TIME:
        raise _Fault("it must say when it was queued")
    return {"t": None, "f": RUN, "a": [run_id], "k": {}, "et": queued_at}
