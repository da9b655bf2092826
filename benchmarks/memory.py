"""Resident memory of this process, now and at its highest since a moment of our choice."""

import ctypes
import gc
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
#: What makes Linux forget the highest resident size so far (man 5 proc).
_FORGET_PEAK = "5"


def resident() -> int:
    """Bytes in memory now."""
    return _status("VmRSS")


def peak() -> int:
    """Most bytes that were in memory at once since the last ``forget_peak``."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Measure the peak from now on."""
    _CLEAR.write_text(_FORGET_PEAK)


def settle() -> None:
    """Give back what nobody uses, so that the next figure counts what is held."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)


def _status(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    (found,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(found.split()[1]) * 1024
