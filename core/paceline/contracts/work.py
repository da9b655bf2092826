"""What asks to be admitted, and what comes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["concept", "call"]


#: What we believe at most.
_MOST = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitInfo:
    """The quota of a minute, and what is left of it; ``None`` where nothing is said.

    Attributes:
        requests: requests that may be made.
        requests_left: how many of them are left.
        tokens: tokens that may be used.
        tokens_left: how many of them are left.
    """

    requests: int | None = None
    requests_left: int | None = None
    tokens: int | None = None
    tokens_left: int | None = None


def parse_rate_limits(headers: Mapping[str, str]) -> RateLimitInfo | None:
    """Read ``x-ratelimit-*`` headers, names in lower case; what makes no sense is left out."""
    requests, requests_left = _pair(headers, "requests")
    tokens, tokens_left = _pair(headers, "tokens")
    if requests is None and tokens is None:
        return None
    return RateLimitInfo(
        requests=requests, requests_left=requests_left, tokens=tokens, tokens_left=tokens_left
    )


def _pair(headers: Mapping[str, str], name: str) -> tuple[int | None, int | None]:
    limit = _number(headers.get(f"x-ratelimit-limit-{name}"))
    left = _number(headers.get(f"x-ratelimit-remaining-{name}"))
    if not limit:  # 0 or -1 is how some say that there is none
        return None, None
    return limit, None if left is None else min(left, limit)


def _number(text: str | None) -> int | None:
    if text is None or not text.strip().isascii() or not text.strip().isdigit():
        return None
    return min(int(text.strip()[:12]), _MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One thing that wants to start: a concept, or one outbound LLM attempt.

    Attributes:
        level: ``concept`` before a concept's task is made, ``call`` before each attempt.
        run_id: the run it belongs to.
        roadmap_id: the roadmap of that run.
        concept_id: the concept.
        key: provider and model, as ``openai:gpt-4o-mini``: what a quota is counted for.
        step: the step of a call, else ``None``.
        attempt: 1 for a call's first attempt.
        tokens: estimate of prompt plus answer, for a call.
        tenant: whose run it is; empty where there are no tenants.
        weight: the tenant's share of what is there, or the run's where it has no tenant, in
            proportion to the others'.
    """

    level: Level
    run_id: str
    roadmap_id: str
    concept_id: str
    key: str = ""
    step: str | None = None
    attempt: int = 1
    tokens: int = 0
    tenant: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Done:
    """The work ended well.

    Attributes:
        tokens: tokens that the provider's quota counted for it; 0: not known.
        seconds: how long it took.
        headroom: what the provider said of its quota.
    """

    tokens: int = 0
    seconds: float = 0.0
    rate_limit_info: RateLimitInfo | None = None


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The provider refused the call.

    Attributes:
        retry_after: seconds until it wants to be asked again, when it said so.
        headroom: what it said of its quota.
    """

    retry_after: float | None = None
    rate_limit_info: RateLimitInfo | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The work failed, or was cancelled.

    Attributes:
        arrived: whether a call may have arrived at the provider, whose quota then counts it.
    """

    arrived: bool = False


Outcome = Done | RateLimited | Failed


class Permit:
    """One admission. Whoever got it releases it, once, with an outcome.

    Args:
        on_release: called with the outcome at the first release; must not raise or block.
    """

    __slots__ = ("_on_release",)

    def __init__(self, on_release: Callable[[Outcome], None] | None = None) -> None:
        self._on_release = on_release

    def release(self, outcome: Outcome) -> None:
        """Give the permit back. Synchronous; a second call does nothing."""
        on_release, self._on_release = self._on_release, None
        if on_release is not None:
            on_release(outcome)
