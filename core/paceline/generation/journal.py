"""Results that the steps of one concept recorded, so that no worker produces them twice."""

from paceline.contracts.storage.records import Claim, JournalEntry
from paceline.contracts.storage.store import Store
from paceline.errors import PluginError

#: Maximum bytes of one result.
MAX_BYTES = 2**20


class Journal:
    """The journal of one concept in one claim; it is read from the store at its first use."""

    def __init__(self, store: Store, claim: Claim, concept_id: str) -> None:
        self._store = store
        self._claim = claim
        self._concept_id = concept_id
        self._known: dict[tuple[str, int, str], str] | None = None
        self.steps: set[str] = set()

    async def read(self, step: str, version: int, name: str) -> str | None:
        """A recorded result as JSON; ``None`` if nothing was recorded."""
        if self._known is None:
            found = await self._store.journal(self._claim.run_id, self._concept_id)
            self._known = {(one.step, one.version, one.name): one.value for one in found}
            self.steps |= {one.step for one in found}
        return self._known.get((step, version, name))

    async def write(self, step: str, version: int, name: str, value: str) -> None:
        """Record a result; returns after the commit.

        Raises:
            PluginError: the result is too large.
            StaleFence: another worker owns the run.
        """
        size = len(value.encode())
        if size > MAX_BYTES:
            raise PluginError(
                f"step {step}: the result of ctx.once({name!r}) must not be larger than "
                f"{MAX_BYTES // 2**20} MiB, got {size} bytes"
            )
        self.steps.add(step)
        entry = JournalEntry(
            concept_id=self._concept_id, step=step, version=version, name=name, value=value
        )
        await self._store.record(self._claim, entry)
        if self._known is not None:
            self._known[step, version, name] = value
