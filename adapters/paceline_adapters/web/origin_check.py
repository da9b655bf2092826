"""Checks ``Host`` against DNS rebinding, and ``Origin`` against pages of other sites."""

import ipaddress
from urllib.parse import urlsplit

from paceline import WebSettings
from starlette.datastructures import Headers

from paceline_adapters.web.problems import Problem

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(host: str) -> bool:
    """Whether a host name or address is a loopback one."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class OriginCheck:
    """Checks the host name that a request names, and the page that it comes from.

    Args:
        web: names of this server, and other origins that are trusted.
    """

    def __init__(self, web: WebSettings) -> None:
        self._hosts = {host.lower() for host in web.hosts or ()}
        self._origins = {origin.lower().rstrip("/") for origin in web.origins or ()}
        # DNS rebinding is no danger if a token is required: the hostile page has none.
        self._any_host = bool(web.tokens) and not self._hosts

    def check(self, method: str, headers: Headers, *, stream: bool = False) -> None:
        """Check a request, or the opening of a WebSocket (``stream``).

        Raises:
            Problem: 400, the host name is not this server's; 403, a page of another site sent
                the request.
        """
        host = headers.get("host", "")
        if not self._any_host and not self._is_ours(host):
            raise Problem(400, "unknown-host", "Unknown host name: see the setting web.hosts.")
        if method in _SAFE_METHODS and not stream:
            return
        origin = headers.get("origin")
        if origin is None:
            if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
                raise _foreign_origin()
        elif origin.lower() not in self._origins and _host_of(origin) != host.lower():
            raise _foreign_origin()

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name in self._hosts


def _host_of(origin: str) -> str:
    """Name and port of an origin, as in ``Host``."""
    scheme, _, host = origin.lower().partition("://")
    return host if scheme in {"http", "https"} else ""


def _foreign_origin() -> Problem:
    return Problem(
        403, "foreign-origin", "Pages of another origin may not send this request: see web.origins."
    )
