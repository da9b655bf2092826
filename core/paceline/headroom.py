"""What a provider's headers say of its quota."""

from collections.abc import Mapping
from dataclasses import dataclass

#: What we believe at most.
_MOST = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
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


def headroom_in(headers: Mapping[str, str]) -> Headroom | None:
    """Read ``x-ratelimit-*`` headers, names in lower case; what makes no sense is left out."""
    requests, requests_left = _pair(headers, "requests")
    tokens, tokens_left = _pair(headers, "tokens")
    if requests is None and tokens is None:
        return None
    return Headroom(
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
