"""What can go wrong with a call, and which call it goes wrong with."""

from collections.abc import Mapping

from paceline_adapters.simulator import dice

#: Every fault, and what a client sees of it.
FAULTS: Mapping[str, str] = {
    "429": "refused at once, with retry-after",
    "500": "an internal error, at once",
    "503": "overloaded, at once",
    "disconnect": "the connection is cut in the middle of the answer",
    "hang": "no answer, until the client goes",
    "slow": "the answer drips, over three more latencies",
    "bad-json-body": "status 200 with a broken body",
    "garbage": "content that is neither JSON nor language",
    "wrong": "JSON that fits the schema and makes no sense",
    "schema-invalid": "JSON that misses required fields",
    "truncated": 'half of the content, finish_reason "length"',
    "no-finish": "half of the content, finish_reason null",
    "empty": "empty content",
    "refusal": "a refusal instead of content",
    "ignore-schema": "prose where JSON was asked for",
}

#: Answered before anything is generated: nothing is billed.
ERRORS = frozenset({"429", "500", "503"})

#: Faults that leave the answer usable.
HARMLESS = frozenset({"slow"})


def check_rates(rates: Mapping[str, float]) -> None:
    """Make sure that the rates can be drawn from.

    Raises:
        ValueError: a name is unknown, a rate is no share, or they exceed 1 together.
    """
    for name, rate in rates.items():
        if name not in FAULTS:
            raise ValueError(f"unknown fault {name!r}; there are {', '.join(FAULTS)}")
        if not 0 <= rate <= 1:
            raise ValueError(f"the rate of fault {name!r} is {rate:g}; it lies between 0 and 1")
    total = sum(rates.values())
    if total > 1 + 1e-9:
        raise ValueError(f"the rates of all faults sum up to {total:g}; 1 is the most")


def pick(rates: Mapping[str, float], *, seed: int, prompt: str, attempt: int) -> str | None:
    """The fault that hits this attempt at this prompt, if any does."""
    drawn = dice.uniform(seed, "fault", prompt, attempt)
    for name, rate in rates.items():
        drawn -= rate
        if drawn < 0:
            return name
    return None
