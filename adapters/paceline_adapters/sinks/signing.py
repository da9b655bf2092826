"""Signatures of Standard Webhooks (https://www.standardwebhooks.com), with symmetric keys."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

_PREFIX = "whsec_"
#: Bytes that a key may have.
_SHORTEST, _LONGEST = 24, 64


def key_of(secret: str) -> bytes:
    """The key of a secret such as ``whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw``.

    Raises:
        ValueError: it is no secret of Standard Webhooks; the text does not show it.
    """
    rule = f"must be {_PREFIX} and {_SHORTEST} to {_LONGEST} bytes in Base64"
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(rule) from None
    if not secret.startswith(_PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(rule)
    return key


def signed_headers(
    keys: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes
) -> Mapping[str, str]:
    """The headers of a message, with one signature for each key."""
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        for key in keys
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }
