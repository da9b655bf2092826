"""Who a process is and whether it still lives; ids of workers and runs."""

import os
import secrets
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, told apart from a later one with the same pid.

    Attributes:
        host: the machine, or the container: a pid means something only there.
        pid: process id.
        started: when the process started, seconds since 1970.
    """

    host: str
    pid: int
    started: float

    def is_gone(self) -> bool:
        """Whether the process is known to have ended; ``False`` on other hosts."""
        if self.host != this_host():
            return False
        try:
            process = psutil.Process(self.pid)
            # A zombie waits for its parent to collect it; it works no more.
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            return abs(process.create_time() - self.started) > 2.0
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def this_host() -> str:
    """This machine and process-id namespace, so that two containers of one name differ."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        namespace = "0"
    return f"{socket.gethostname()}/{namespace}"


def this_process() -> ProcessIdentity:
    """The process that asks."""
    pid = os.getpid()
    return ProcessIdentity(this_host(), pid, psutil.Process(pid).create_time())


def new_worker_id() -> str:
    """An id for a worker of this process, readable and never used before."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_last_tick = 0


def new_run_id() -> str:
    """An id for a run: 26 letters and digits (a lower-case ULID) that rise with time.

    48 bits of milliseconds, 12 bits of their fraction and 68 random ones: ids of one process
    rise strictly, ids of two machines as far as their clocks agree.
    """
    global _last_tick
    # The random part is drawn anew each time, so a forked process cannot repeat our ids.
    _last_tick = max(time.time_ns() * 4096 // 1_000_000, _last_tick + 1)
    value = _last_tick << 68 | secrets.randbits(68)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def as_number(run_id: str) -> int | None:
    """The 128 bits of an id that ``new_run_id`` made; ``None`` of another one."""
    if len(run_id) != 26 or any(letter not in _ALPHABET for letter in run_id):
        return None
    number = 0
    for letter in run_id:
        number = number << 5 | _ALPHABET.index(letter)
    return number if number < 2**128 else None
