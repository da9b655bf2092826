"""The faults of the simulator, and which calls they affect."""

from collections.abc import Mapping

from paceline_adapters.simulator import seeded

#: Every fault, and its effect for the client.
FAULTS: Mapping[str, str] = {
    "429": "immediate 429 with retry-after",
    "500": "immediate internal error",
    "503": "immediate overload error",
    "disconnect": "connection closed in the middle of the response",
    "hang": "no response until the client disconnects",
    "slow": "response in small pieces over three more latencies",
    "bad-json-body": "status 200 with invalid JSON",
    "garbage": "content of random characters",
    "wrong": "JSON that matches the schema with meaningless values",
    "schema-invalid": "JSON without required fields",
    "truncated": 'half of the content, finish_reason "length"',
    "no-finish": "half of the content, finish_reason null",
    "empty": "empty content",
    "refusal": "a refusal instead of content",
    "ignore-schema": "text instead of the requested JSON",
}

#: Faults before anything is generated; they are not billed.
ERRORS = frozenset({"429", "500", "503"})

#: Faults that leave the answer usable.
USABLE_FAULTS = frozenset({"slow"})


def check_rates(rates: Mapping[str, float]) -> None:
    """Check the names and rates of faults.

    Raises:
        ValueError: a name is unknown, a rate is not between 0 and 1, or their sum exceeds 1.
    """
    for name, rate in rates.items():
        if name not in FAULTS:
            raise ValueError(f"unknown fault {name!r}; allowed are {', '.join(FAULTS)}")
        if not 0 <= rate <= 1:
            raise ValueError(f"the rate of fault {name!r} must be between 0 and 1, got {rate:g}")
    total = sum(rates.values())
    if total > 1 + 1e-9:
        raise ValueError(f"the sum of all fault rates must be at most 1, got {total:g}")


def pick(rates: Mapping[str, float], *, seed: int, prompt: str, attempt: int) -> str | None:
    """The fault of this attempt at this prompt, if any."""
    drawn = seeded.uniform(seed, "fault", prompt, attempt)
    for name, rate in rates.items():
        drawn -= rate
        if drawn < 0:
            return name
    return None
