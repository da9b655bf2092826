"""Work that asks for admission, the permit it gets, and the outcome it reports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from paceline.contracts.share import Priority

Level = Literal["concept", "call"]


#: Larger numbers in a header are cut to this.
_MOST = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitInfo:
    """The provider's quota for one minute and the rest of it; ``None`` if it names no number.

    Attributes:
        requests: requests allowed.
        requests_left: requests that remain.
        tokens: tokens allowed.
        tokens_left: tokens that remain.
    """

    requests: int | None = None
    requests_left: int | None = None
    tokens: int | None = None
    tokens_left: int | None = None


def parse_rate_limits(headers: Mapping[str, str]) -> RateLimitInfo | None:
    """Read ``x-ratelimit-*`` headers with names in lower case. Malformed numbers are ignored."""
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
    if not limit:  # some providers send 0 or -1 for "no limit"
        return None, None
    return limit, None if left is None else min(left, limit)


def _number(text: str | None) -> int | None:
    if text is None or not text.strip().isascii() or not text.strip().isdigit():
        return None
    return min(int(text.strip()[:12]), _MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One thing that is about to start: a concept, or one outbound LLM attempt.

    Attributes:
        level: ``concept`` before a concept's task is created, ``call`` before each attempt.
        run_id: the run it belongs to.
        roadmap_id: the roadmap of that run.
        concept_id: the concept.
        key: what a quota is counted for: provider and model, as in ``openai:gpt-4o-mini``.
        step: the step of a call; ``None`` for a concept.
        attempt: 1 for a call's first attempt.
        tokens: estimated tokens of prompt plus answer, for a call.
        cost: cost of these tokens in the currency of the settings' prices; ``None`` without a
            price.
        tenant: the tenant that owns the run; empty if there are no tenants.
        weight: scheduling weight of the tenant, relative to other tenants; of the run if it has
            no tenant.
        stage_id: the stage of the concept.
        module_id: the module of the concept.
        context: the run's context, as it was given at submit.
        priority: how urgent the work is, among that of its tenant. Revisions are urgent.
    """

    level: Level
    run_id: str
    roadmap_id: str
    concept_id: str
    key: str = ""
    step: str | None = None
    attempt: int = 1
    tokens: int = 0
    cost: float | None = None
    tenant: str = ""
    weight: float = 1.0
    stage_id: str = ""
    module_id: str = ""
    context: Mapping[str, object] = field(default_factory=dict[str, object])
    priority: Priority = "normal"


@dataclass(frozen=True, slots=True)
class Done:
    """The work succeeded.

    Attributes:
        tokens: tokens that the provider counted; 0 if unknown.
        seconds: duration of the work.
        rate_limit_info: the quota that the provider reported.
        cost: what the call cost, in the currency of the settings' prices; ``None`` if unknown.
    """

    tokens: int = 0
    seconds: float = 0.0
    rate_limit_info: RateLimitInfo | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The provider refused the call because of a rate limit or overload.

    Attributes:
        retry_after: seconds that the provider asked to wait; ``None`` if it named no time.
        rate_limit_info: the quota that the provider reported.
    """

    retry_after: float | None = None
    rate_limit_info: RateLimitInfo | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The work failed, or was cancelled.

    Attributes:
        arrived: whether the call may have reached the provider, so that its quota counts it.
        cost: what the call cost all the same; ``None`` if unknown.
    """

    arrived: bool = False
    cost: float | None = None


Outcome = Done | RateLimited | Failed


class Permit:
    """One admission. The caller of ``admit`` releases it once, with an outcome.

    Args:
        on_release: called with the outcome at the first release. It must not raise or block.
        notice: what the followers of the run should know; it is published as a note of the run.
    """

    __slots__ = ("_on_release", "notice")

    def __init__(
        self,
        on_release: Callable[[Outcome], None] | None = None,
        *,
        notice: str | None = None,
    ) -> None:
        self._on_release = on_release
        self.notice = notice

    def release(self, outcome: Outcome) -> None:
        """Release the permit. Synchronous; a second call does nothing."""
        on_release, self._on_release = self._on_release, None
        if on_release is not None:
            on_release(outcome)
