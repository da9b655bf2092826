"""Whose pages may ask: ``Host`` against DNS rebinding, ``Origin`` against other sites."""

import ipaddress
from urllib.parse import urlsplit

from paceline import WebSettings
from starlette.datastructures import Headers

from paceline_adapters.web.problems import Problem

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Origins:
    """Checks where a request comes from.

    Args:
        web: names of the server, and origins that are trusted beside its own.
    """

    def __init__(self, web: WebSettings) -> None:
        self._hosts = {host.lower() for host in web.hosts or ()}
        self._origins = {origin.lower().rstrip("/") for origin in web.origins or ()}
        # A page that made its name point here has no token: where one is needed, any name may do.
        self._any_host = bool(web.tokens) and not self._hosts

    def check(self, method: str, headers: Headers, *, stream: bool = False) -> None:
        """Check a request or the opening of a socket.

        Raises:
            Problem: 400, the name is not ours; 403, another site's page asks.
        """
        host = headers.get("host", "")
        if not self._any_host and not self._ours(host):
            raise Problem(400, "unknown-host", "This server does not answer to that name.")
        if method in _SAFE and not stream:
            return
        origin = headers.get("origin")
        if origin is None:
            if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
                raise _foreign()
        elif origin.lower() not in self._origins and _place(origin) != host.lower():
            raise _foreign()

    def _ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name in self._hosts


def _place(origin: str) -> str:
    """Name and port of an origin, as ``Host`` gives them."""
    scheme, _, place = origin.lower().partition("://")
    return place if scheme in {"http", "https"} else ""


def _foreign() -> Problem:
    return Problem(403, "foreign-origin", "Pages of another origin may not do this.")
