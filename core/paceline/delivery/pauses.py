"""How long to wait before a sink, or a delivery that it rejected, is tried again."""

import random

#: Seconds of the first pause; each further one is twice as long.
FIRST = 1.0
#: Seconds of the longest pause.
LONGEST = 300.0


def pause_after(failures: int, *, at_least: float | None = None) -> float:
    """Seconds to wait after a number of failures in a row, from 1 on.

    With jitter, so that what failed together is not tried together. ``at_least`` is what the
    receiver asked for; it counts up to the longest pause.
    """
    pause: float = min(LONGEST, FIRST * 2.0 ** min(failures - 1, 20))
    pause *= random.uniform(0.75, 1.0)  # noqa: S311
    return pause if at_least is None else max(pause, min(at_least, LONGEST))
