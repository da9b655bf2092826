"""Limits that several workers share: their arithmetic, and one process's side of it.

A ``LeaseTable`` holds the state of one limit: no clock, no waiting, no global state. The scripts
in ``lua/ledger`` of the Redis adapter do the same, step by step. A test drives both with the same
calls and compares the results. All times are whole milliseconds of a clock that never goes
backwards. A ``SharedLimiter`` waits for permits of such a limit.
"""

from paceline.admission.live_controls import LiveControls
from paceline.admission.shared_limiter import SharedLimiter

__all__ = ["LiveControls", "SharedLimiter"]
