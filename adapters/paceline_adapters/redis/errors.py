"""Errors of Redis turned into ours: those that may pass, and those that only settings can mend."""

import re

from paceline import PartRejected, PartUnavailable
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterCrossSlotError,
    MovedError,
    NoPermissionError,
    RedisError,
)
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import TimeoutError as NoAnswer

#: The user needs these rules: they are shown where a permission is missing.
ACL = "~{prefix}:* &{prefix}:* +@all -@dangerous"

_CHECK_LOGIN = "check the user and the password in redis.url"
_CHECK_ACL = (
    f"the user needs the rules {ACL.format(prefix='<redis.prefix>')}, and for arq also "
    "~arq:*:<redis.prefix>:*"
)
_CHECK_CLUSTER = (
    "it is a cluster: set redis.prefix to a name in braces, such as {paceline}, and redis.url to "
    "the node that holds its keys"
)
#: How a script's answer names a missing permission; the client knows only those of commands.
_NO_PERMISSION = re.compile(r"NOPERM|ACL failure|(has no|No) permissions")


def reason(error: BaseException) -> str:
    """The first line of an error, or its type if it has no text."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def unavailable(place: str, error: BaseException) -> PartUnavailable:
    """The error to raise for an error of the client.

    Args:
        place: the server in words, such as ``Redis at host:6379/0``.
        error: what the client raised.

    Returns:
        ``PartRejected`` if trying again cannot help.
    """
    what_to_do = _what_to_do(error)
    if what_to_do is not None:
        return PartRejected(
            f"{place} rejects this process: {reason(error).rstrip('.')}; {what_to_do}"
        )
    if isinstance(error, RedisError) and not isinstance(error, LostConnection | NoAnswer):
        return PartUnavailable(f"{place} returned an error: {reason(error)}")
    return PartUnavailable(f"{place} cannot be reached: {reason(error)}")


def _what_to_do(error: BaseException) -> str | None:
    if isinstance(error, AuthenticationError | AuthorizationError):
        return _CHECK_LOGIN
    # In a pipeline, the client does not tell this error apart.
    if isinstance(error, MovedError | ClusterCrossSlotError) or "CROSSSLOT" in str(error):
        return _CHECK_CLUSTER
    if isinstance(error, NoPermissionError):
        return _CHECK_ACL
    if isinstance(error, RedisError) and _NO_PERMISSION.search(str(error)):
        return _CHECK_ACL
    return None
