"""Rate-limit headers of a provider."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline.contracts.admission.work import RateLimitInfo, parse_rate_limits


def test_limits_and_remaining_quota_are_read_from_headers() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "41",
        "x-ratelimit-limit-tokens": " 200000 ",
        "x-ratelimit-reset-tokens": "6ms",
    }
    assert parse_rate_limits(headers) == RateLimitInfo(
        requests=500, requests_left=41, tokens=200_000
    )


@pytest.mark.parametrize("limit", ["", "0", "-1", "5.5", "many", "٣", "1e9", "+5"])
def test_an_implausible_limit_in_the_headers_is_ignored(limit: str) -> None:
    headers = {"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": "3"}
    assert parse_rate_limits(headers) is None


@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                f"x-ratelimit-{what}-{of}"
                for what in ("limit", "remaining")
                for of in ("requests", "tokens")
            ]
        ),
        st.text(max_size=20) | st.integers().map(str),
    )
)
def test_any_headers_give_usable_numbers(headers: dict[str, str]) -> None:
    found = parse_rate_limits(headers)
    if found is not None:
        for limit, left in (
            (found.requests, found.requests_left),
            (found.tokens, found.tokens_left),
        ):
            assert limit is None or 1 <= limit <= 1_000_000_000
            assert left is None or (limit is not None and 0 <= left <= limit)
