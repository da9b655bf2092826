"""What may be said about a server: its address and its words, without the secrets."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from paceline import SettingsError

#: Characters of a server's message that are passed on.
SHOWN = 500

#: What keys look like, also when a server repeats only the ends of one.
_KEYS = re.compile(r"\b(?:sk|pk|rk|gsk|xai|key)-[\w*.…-]{4,}|(?<=Bearer )\S+")


@dataclass(frozen=True, slots=True)
class Server:
    """A server as errors name it.

    Attributes:
        address: scheme, host, port and path.
        model: the model that is asked there.
        secrets: texts that may never be shown.
    """

    address: str
    model: str
    secrets: tuple[str, ...]

    @classmethod
    def at(cls, base_url: str, *, model: str, api_key: str) -> "Server":
        """The server at an address.

        Raises:
            SettingsError: the address is none.
        """
        try:
            parts = urlsplit(base_url.strip())
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            raise SettingsError(
                "provider.base_url: must be an address that begins with http:// or https:// and "
                "carries no user or password, as https://api.openai.com/v1"
            )
        where = f"[{host}]" if ":" in host else host
        where = where if port is None else f"{where}:{port}"
        # Placeholder keys are words such as `none`; to mask those would garble messages.
        secrets = tuple(secret for secret in (api_key, parts.query) if len(secret) > 5)
        return cls(f"{parts.scheme}://{where}{parts.path}", model, secrets)

    def quote(self, text: str) -> str:
        """A server's words on one line, cut to a bound, with every key masked."""
        return " ".join(self.mask(text[: 20 * SHOWN]).split())[:SHOWN]

    def mask(self, text: str) -> str:
        """The text with every key masked."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return _KEYS.sub("***", text)
