"""Certificates that the environment names for TLS connections of all programs."""

import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from paceline.errors import SettingsError


def _load(path: str) -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)


def _load_either(path: str) -> None:
    if Path(path).is_dir():
        next(Path(path).iterdir(), None)
    else:
        _load(path)


_USES: Mapping[str, Callable[[str], object]] = {
    "SSL_CERT_FILE": _load,
    "SSL_CERT_DIR": os.listdir,
    "SSLKEYLOGFILE": lambda path: Path(path).open("ab").close(),
    "REQUESTS_CA_BUNDLE": _load_either,
    "CURL_CA_BUNDLE": _load_either,
}


def check_files(*names: str) -> None:
    """Check that the files of these variables can be used; libraries do not name the file.

    Raises:
        SettingsError: one cannot; the text names the variable and the path.
    """
    for name in names:
        path = os.environ.get(name)
        if not path:
            continue
        try:
            _USES[name](path)
        except OSError as error:  # errors of TLS are among them
            reason = error.strerror or str(error)
            raise SettingsError(f"{name}={path} cannot be used: {reason}") from None


def check_client_files() -> None:
    """Check the files that every HTTP client of paceline uses; see ``check_files``."""
    check_files("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
