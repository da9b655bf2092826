"""Numbers with their nouns."""


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 roadmap``, ``2 roadmaps``; where an ``s`` does not make it, the plural is given."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
