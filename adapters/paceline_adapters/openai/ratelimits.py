"""What a server's headers say of its limits."""

from collections.abc import Mapping

#: Headers and characters that are passed on of what a server sends along.
_HEADERS, _SHOWN = 32, 200


def ratelimits(headers: Mapping[str, str]) -> dict[str, str]:
    """The rate-limit headers, names in lower case."""
    found = {
        name.lower(): value[:_SHOWN]
        for name, value in headers.items()
        if name.lower().startswith(("x-ratelimit-", "retry-after"))
    }
    return dict(list(found.items())[:_HEADERS])
