"""Removing messages that wait in a Redis of Celery's."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from paceline_adapters.celery.task import TASK

#: Number of messages that are read at once.
_PAGE = 500


def remove_messages(channel: Any, queue: str, run_ids: Sequence[str]) -> None:
    """Remove the waiting messages of our task for these runs.

    Args:
        channel: a channel of kombu's transport for Redis.
        queue: name of the queue.
        run_ids: the runs.
    """
    import redis

    # kombu's own client adds the prefix of keys to some commands, and not to those used here.
    client: Any = redis.Redis(connection_pool=channel.pool)
    prefix = getattr(channel, "global_keyprefix", "") or ""
    wanted = set(run_ids)
    for priority in channel.priority_steps:
        key = prefix + channel._q_for_pri(queue, priority)  # noqa: SLF001 - the name of its list
        for raw in [one for one in _messages(client, key) if _run_of(one) in wanted]:
            client.lrem(key, 0, raw)


def _messages(client: Any, key: str) -> Iterator[bytes]:
    """The messages of a list. Those that move while it is read may be missed: workers drop them."""
    start = 0
    while page := client.lrange(key, start, start + _PAGE - 1):
        yield from page
        start += len(page)


def _run_of(raw: bytes) -> str | None:
    """The run that a message of ours is for; its task id begins with the run's id."""
    try:
        headers = json.loads(raw)["headers"]
        return headers["id"].rpartition(".")[0] if headers["task"] == TASK else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
