"""Large roadmaps and the garbage collector."""

import gc
from collections.abc import Generator
from contextlib import contextmanager

#: Minimum number of concepts for which freezing pays.
LARGE = 5_000


@contextmanager
def gc_frozen(concepts: int) -> Generator[None]:
    """Exclude the objects in memory from garbage collection while a large run is in work.

    A roadmap lives as long as its run, so there is nothing to collect in it. Yet each full
    collection visits all its objects and blocks the event loop: a third of a second for
    100 000 concepts. Cycles that become garbage meanwhile are collected after the block.

    If another run or the embedding program has frozen objects already, this does nothing,
    because unfreezing would undo theirs.
    """
    if concepts < LARGE or gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
