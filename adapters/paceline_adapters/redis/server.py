"""What kind of server answers: its version, whether it may delete keys, and its mode."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from paceline import Finding, PartRejected


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server as it describes itself.

    Attributes:
        name: product and version, such as ``Valkey 9.1.2``.
        policy: its ``maxmemory-policy``; ``None`` if the user may not ask for it.
        cluster: whether it is a node of a cluster.
    """

    name: str
    policy: str | None
    cluster: bool


async def ask_server(execute: Callable[..., Awaitable[Any]]) -> ServerFacts:
    """Ask a server what it is, by ``INFO`` or, for users without that permission, by ``HELLO``.

    Args:
        execute: sends a command and returns its raw answer.

    Raises:
        PartUnavailable: the server cannot be reached.
        PartRejected: it rejects the user.
    """
    try:
        text = str(await execute("INFO", attempts=1))
    except PartRejected:
        words = await execute("HELLO", attempts=1)
        facts = dict(zip(words[::2], words[1::2], strict=False))
        name = f"{str(facts.get('server', 'Redis')).title()} {facts.get('version', '')}".strip()
        return ServerFacts(name, None, facts.get("mode") == "cluster")
    lines = (line.partition(":") for line in text.splitlines())
    facts = {name: value for name, _, value in lines}
    if "valkey_version" in facts:
        name = f"Valkey {facts['valkey_version']}"
    else:
        name = f"Redis {facts.get('redis_version', 'of unknown version')}"
    mode = facts.get("server_mode", facts.get("redis_mode"))
    return ServerFacts(name, facts.get("maxmemory_policy"), mode == "cluster")


def described(place: str, facts: ServerFacts, part: str, prefix: str) -> str | Finding:
    """A server in words, or what is wrong with it for us.

    Args:
        place: the server's address in words.
        facts: what it says of itself.
        part: the part that is checked, such as ``ledger redis``.
        prefix: ``redis.prefix``.
    """
    text = f"{place.removeprefix('Redis at ')} is {facts.name}"
    if facts.cluster and not has_hash_tag(prefix):
        return Finding(
            "wrong",
            part,
            f"{text} in cluster mode, where the keys of redis.prefix={prefix} are on several nodes",
            f'set redis.prefix = "{{{prefix}}}": keys with the same name in braces are on one node',
        )
    if facts.policy not in (None, "noeviction"):
        return Finding(
            "warning",
            part,
            f"{text}; its maxmemory-policy {facts.policy} may delete limits, events and queues",
            "set its maxmemory-policy to noeviction",
        )
    if facts.policy is None:
        text += "; the user may not ask for its maxmemory-policy, which must be noeviction"
    return text


def has_hash_tag(prefix: str) -> bool:
    """Whether a cluster keeps all keys with this prefix on one node."""
    return re.search(r"\{[^}]+\}", prefix) is not None
