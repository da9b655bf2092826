"""A model of one process's store: group commits, pool and heartbeats."""

import asyncio

#: Transactions of a run besides its saves: submit, claim, load, follow and finish; measured.
_OF_RUN = 25
#: Queries one after another before a run's first call.
_LOAD = 5
#: Connections of a client that is a process of its own.
CLIENT_CONNECTIONS = 2
#: Seconds between two heartbeats of a worker; each is one transaction.
_BEAT = 2.0


class StoreModel:
    """Commits the members that wait at the same moment in one transaction, as the SQL store does.

    Args:
        connections: most connections of the pool; ``None`` if the store is no server.
        commit: seconds of a commit.
    """

    def __init__(self, connections: int | None, commit: float) -> None:
        self._most = connections or 0
        self._commit = commit
        self._server = connections is not None
        self._running_until = 0.0
        self._next_until = 0.0
        self._loading = 0
        self._made = 0
        self.connections_peak = 0
        self._use()

    async def write(self, at: float) -> None:
        """Wait until a member that comes at this time is committed."""
        now = max(at, asyncio.get_running_loop().time())
        if now >= self._next_until:  # nothing is being committed
            self._running_until = self._next_until = now + self._commit
            self._made += 1
        elif self._running_until == self._next_until:  # the next batch begins to gather
            self._next_until = self._running_until + self._commit
            self._made += 1
        elif now >= self._running_until:  # the gathered batch is being committed
            self._running_until = self._next_until
            self._next_until += self._commit
            self._made += 1
        await asyncio.sleep(self._next_until - asyncio.get_running_loop().time())

    async def load(self) -> None:
        """Claim a run and read what it needs."""
        self._made += _OF_RUN
        self._loading += 1
        self._use()
        await asyncio.sleep(_LOAD * self._commit / 2)
        self._loading -= 1

    def transactions(self, seconds: float) -> int:
        """Number of transactions, with the heartbeats of this many seconds."""
        return self._made + int(seconds / _BEAT) if self._server else 0

    def _use(self) -> None:
        """Note the connections in use: one; with a run a second; two more if runs load at once.

        The queries of a run are short, so more of them rarely run at the same moment.
        """
        used = 1 + min(self._loading, 1) + 2 * (self._loading > 1)
        self.connections_peak = max(self.connections_peak, min(self._most, used))
