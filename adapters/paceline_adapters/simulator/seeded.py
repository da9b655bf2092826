"""Seeded random values that do not depend on the order in which calls arrive.

A random generator shared by all calls would give other values if two calls changed order. Here
each value is a hash of the seed and of its purpose.
"""

import hashlib
import random


def number(seed: int, *parts: str | int) -> int:
    """A number below 2**64, determined by the seed and the parts."""
    text = "\x1f".join(map(str, (seed, *parts)))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest)


def uniform(seed: int, *parts: str | int) -> float:
    """A number in [0, 1), determined by the seed and the parts."""
    # 53 bits: with all 64, the float could round up to 1.
    return (number(seed, *parts) >> 11) / 2**53


def generator(seed: int, *parts: str | int) -> random.Random:
    """A random generator, determined by the seed and the parts."""
    return random.Random(number(seed, *parts))  # noqa: S311 - plausible, not secret
