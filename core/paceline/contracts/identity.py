"""Identity of processes, and ids of workers and runs."""

import os
import secrets
import socket
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process. The start time distinguishes it from a later process with the same pid.

    Attributes:
        host: the machine or container in which the pid is valid.
        pid: process id.
        started: start of the process, in seconds since 1970.
    """

    host: str
    pid: int
    started: float

    def is_gone(self) -> bool:
        """Whether the process has ended; ``False`` if it runs on another host."""
        if self.host != this_host():
            return False
        import psutil  # commands that only read need not wait for it

        try:
            process = psutil.Process(self.pid)
            # A zombie has ended, and waits for its parent to collect it.
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            return abs(process.create_time() - self.started) > 2.0
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def this_host() -> str:
    """Host name and process-id namespace, so that two containers with one name differ."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        namespace = "0"
    return f"{socket.gethostname()}/{namespace}"


def this_process() -> ProcessIdentity:
    """The process that calls this function."""
    import psutil

    pid = os.getpid()
    return ProcessIdentity(this_host(), pid, psutil.Process(pid).create_time())


def new_worker_id() -> str:
    """A readable and unique id for a worker of this process."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_last_tick = 0


def new_run_id() -> str:
    """A unique id for a run: a lower-case ULID of 26 characters that rises with time.

    It has 48 bits of milliseconds, 12 bits of their fraction and 68 random bits. Ids of one
    process rise strictly. Ids of two machines rise as far as their clocks agree.
    """
    global _last_tick
    # Each id draws new random bits, so a forked process cannot repeat the ids of its parent.
    _last_tick = max(time.time_ns() * 4096 // 1_000_000, _last_tick + 1)
    value = _last_tick << 68 | secrets.randbits(68)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def run_id_at(moment: datetime) -> str:
    """The lowest id of a run that is made at a time, to find the runs since then or before.

    Times before 1970 count as 1970, and times after the year 9999 as its end.
    """
    tick = max(0, min(int(moment.timestamp() * 1000), 2**48 - 1))
    value = tick << 80
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def run_id_bits(run_id: str) -> int | None:
    """The 128 bits of an id that ``new_run_id`` made; ``None`` for any other id."""
    if len(run_id) != 26 or any(character not in _ALPHABET for character in run_id):
        return None
    number = 0
    for character in run_id:
        number = number << 5 | _ALPHABET.index(character)
    return number if number < 2**128 else None
