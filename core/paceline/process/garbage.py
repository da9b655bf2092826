"""How often a process of ours looks for garbage in cycles."""

import gc

#: Thresholds of the three generations. Python's own, 700 and 10 and 10, suit small programs: with
#: the modules that a worker needs, one full collection takes a third of a second, and looking
#: took a third of a run's processor time. Reference counts free nearly everything at once.
THRESHOLDS = (50_000, 10, 10)


def collect_rarely() -> None:
    """Raise the collector's thresholds. For programs that own their process, at their start."""
    gc.set_threshold(*THRESHOLDS)
