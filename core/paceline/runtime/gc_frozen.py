"""Large roadmaps and the garbage collector."""

import gc
from collections.abc import Generator
from contextlib import contextmanager

#: Concepts from which on a roadmap is worth the trouble.
LARGE = 5_000


@contextmanager
def gc_frozen(concepts: int) -> Generator[None]:
    """Keep the collector from walking through a large roadmap again and again.

    It lives as long as its run, so there is nothing to find in it; yet each full collection
    would visit every object of it and hold the event loop for so long: a third of a second for
    100 000 concepts. What is in memory now is left out until the block ends, so cycles that
    become garbage meanwhile wait until then.

    Where something is left out already, by another run or by the program around us, nothing
    is done: to undo ours would undo theirs.

    Args:
        concepts: how many the roadmap has.
    """
    if concepts < LARGE or gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
