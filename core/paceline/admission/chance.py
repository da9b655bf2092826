"""Random numbers of pauses and jitter. An event loop in virtual time brings a series of its own."""

import asyncio
import random


def uniform(low: float, high: float) -> float:
    """A random number between two others; the caller is a task.

    If the event loop has an attribute ``chance``, the number comes from there. A forecast is thus
    the same for the same seed, and leaves the random numbers of the process as they are.
    """
    # Not a context variable: background tasks begin with an empty context.
    own: object = getattr(asyncio.get_running_loop(), "chance", None)
    chance = own if isinstance(own, random.Random) else random
    return chance.uniform(low, high)
