"""Resident memory of this process: the current value, and the peak since a reset."""

import ctypes
import gc
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
#: Value that resets the peak of the resident size (man 5 proc).
_RESET_PEAK = "5"


def resident() -> int:
    """Current resident memory in bytes."""
    return _status("VmRSS")


def peak() -> int:
    """Maximum resident memory in bytes since the last ``reset_peak``."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Reset the peak."""
    _CLEAR.write_text(_RESET_PEAK)


def release_unused() -> None:
    """Return unused memory to the system, so that the next figure counts used memory."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl does not have it
    if trim is not None:
        trim(0)


def _status(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    (found,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(found.split()[1]) * 1024
