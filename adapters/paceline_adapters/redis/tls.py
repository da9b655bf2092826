"""TLS in ``redis.url``: what its options mean, for every client that connects with it."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from paceline import SettingsError

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def tls_options(url: str) -> Mapping[str, bool]:
    """Options of redis-py's connections in addition to those in the URL.

    redis-py before version 6 does not check by default that a certificate is for the host.

    Raises:
        SettingsError: a TLS option of the URL is wrong. The text repeats nothing but file names.
    """
    parts = urlsplit(url)
    given = {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
    if parts.scheme != "rediss":
        if given:
            raise SettingsError(f"redis.url: {next(iter(given))} needs TLS, so write rediss://…")
        return {}
    required = given.get("ssl_cert_reqs", "required")
    if required not in {"none", "optional", "required"}:
        raise SettingsError("redis.url: ssl_cert_reqs must be none, optional or required")
    for name in _FILES:
        path = given.get(name)
        if path is None:
            continue
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise SettingsError(
                f"redis.url: {name}={path} cannot be read: {error.strerror}"
            ) from None
    if "ssl_check_hostname" in given:
        return {}
    return {"ssl_check_hostname": required == "required"}
