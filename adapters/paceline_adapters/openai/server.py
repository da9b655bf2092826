"""A server as the settings name it: its address, its proxy, and texts that are never shown."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from paceline import SettingsError

#: Maximum number of characters of a server's message that are passed on.
SHOWN = 500

#: What keys look like, also when a server repeats only the ends of one.
_KEYS = re.compile(r"\b(?:sk|pk|rk|gsk|xai|key)-[\w*.…-]{4,}|(?<=Bearer )\S+")
_QUOTES = "\"'`“”„‘’‚«»"


@dataclass(frozen=True, slots=True)
class Server:
    """A server as errors name it.

    Attributes:
        address: scheme, host, port and path.
        model: the model that is asked there.
        secrets: texts that may never be shown.
        proxy: the proxy that leads there, with the variable that names it; empty if none does.
    """

    address: str
    model: str
    secrets: tuple[str, ...]
    proxy: str = ""

    @classmethod
    def at(cls, base_url: str, *, model: str, api_key: str) -> "Server":
        """The server at an address.

        Raises:
            SettingsError: address, key, model or proxy can never work.
        """
        parts = _parsed(base_url)
        _check_header("provider.api_key", "PACELINE_PROVIDER__API_KEY or OPENAI_API_KEY", api_key)
        _check_header("provider.model", "PACELINE_PROVIDER__MODEL", model, blanks=True)
        host, port = parts.hostname or "", parts.port
        where = f"[{host}]" if ":" in host else host
        where = where if port is None else f"{where}:{port}"
        # Placeholder keys are words such as `none`; to mask those would garble messages.
        secrets = (api_key,) if len(api_key) > 5 else ()
        address = f"{parts.scheme}://{where}{parts.path}"
        return cls(address, model, secrets, _proxy(parts))

    def quote(self, text: str) -> str:
        """A server's words on one line, cut to a bound, with every key masked."""
        return " ".join(self.mask(text[: 20 * SHOWN]).split())[:SHOWN]

    def mask(self, text: str) -> str:
        """The text with every key masked."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return _KEYS.sub("***", text)


def _parsed(base_url: str) -> SplitResult:
    place = "provider.base_url (PACELINE_PROVIDER__BASE_URL or OPENAI_BASE_URL)"
    if base_url != base_url.strip() or not base_url.isprintable():
        raise SettingsError(f"{place}: must not contain a newline, or blanks around the address")
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise SettingsError(
            f"{place}: must be an address that begins with http:// or https:// and "
            "carries no user or password, as https://api.openai.com/v1"
        )
    if parts.query or parts.fragment:
        raise SettingsError(
            f"{place}: must not contain a query (the part after ?); Azure offers the same API "
            "without one at https://RESOURCE.openai.azure.com/openai/v1"
        )
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise SettingsError(f"{place}: must end before /chat/completions, usually with /v1")
    return parts


def _check_header(place: str, variables: str, value: str, *, blanks: bool = False) -> None:
    """Find what slips in when a value is copied from a document or read from a file."""
    place = f"{place} ({variables})"
    if value != value.strip():
        what = "a newline" if "\n" in value or "\r" in value else "a blank"
        raise SettingsError(f"{place}: must not begin or end with {what}")
    if value[:1] in _QUOTES or value[-1:] in _QUOTES:
        raise SettingsError(f"{place}: must not be in quotes; remove the quotes around the value")
    if value.lower().startswith("bearer "):
        raise SettingsError(f"{place}: must be the key alone, without Bearer in front")
    if not value.isprintable() or (not blanks and (" " in value or not value.isascii())):
        raise SettingsError(
            f"{place}: must not contain blanks, newlines or characters beyond ASCII"
        )


def _proxy(parts: SplitResult) -> str:
    """The proxy that the environment sets for an address, as ``ADDRESS (VARIABLE)``.

    Raises:
        SettingsError: it is of a kind that is not supported.
    """
    proxies = getproxies()
    scheme = parts.scheme if parts.scheme in proxies else "all"
    proxy = proxies.get(scheme)
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    variable = f"{scheme.upper()}_PROXY"
    try:
        found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        shown = f"{found.scheme}://{found.hostname}:{found.port}"
    except ValueError:
        raise SettingsError(f"{variable}: is not the address of a proxy") from None
    if found.scheme not in ("http", "https"):
        raise SettingsError(
            f"{variable}={shown}: only proxies that begin with http:// are supported, not "
            f"{found.scheme}://; unset {variable}, or name {parts.hostname} in NO_PROXY"
        )
    return f"the proxy {shown} ({variable})"
