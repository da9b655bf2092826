"""Resources: services with a quota besides the LLM, limited over all workers."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType

from pydantic import SecretStr

from paceline.admission.live_controls import LiveControls
from paceline.contracts.admission.ledger import Ledger
from paceline.contracts.admission.limit_figures import LimitFigures
from paceline.contracts.admission.work import Done, Failed, Outcome, Permit, RateLimited, Work
from paceline.contracts.steps.step import Use
from paceline.errors import Fatal, Refused, SettingsError, UsageError
from paceline.generation.key_pool import KeyPool, PooledKey
from paceline.plugins.context import no_ledger
from paceline.settings.model import ResourceSettings
from paceline.text import count, unknown

#: One item that uses a resource: run, concept and step.
_Item = tuple[str, str, str | None]


class Resources:
    """The resources of one worker process.

    Args:
        settings: their settings, by name.
        ledger: returns the process's ledger. The first use of a resource calls it.
        holder: name of this process in the ledger; must be unique.
        environ: environment variables, instead of those of the process.
        controls: what operators have paused and changed.

    Raises:
        SettingsError: a key names an environment variable that is not set.
    """

    def __init__(
        self,
        settings: Mapping[str, ResourceSettings] = MappingProxyType({}),
        ledger: Callable[[], Ledger] = no_ledger,
        *,
        holder: str = "",
        environ: Mapping[str, str] | None = None,
        controls: LiveControls | None = None,
    ) -> None:
        self._controls = controls or LiveControls()
        environ = os.environ if environ is None else environ
        self._resources = {
            _folded(name): _Resource(
                name, one, ledger, holder=holder, environ=environ, controls=self._controls
            )
            for name, one in settings.items()
        }

    @asynccontextmanager
    async def use(self, name: str, work: Work, units: int = 1) -> AsyncGenerator[Use]:
        """Wait until the resource admits ``work``, and use it within ``async with``.

        If the block raises `Refused`, all workers pause the resource, or the key that was used,
        for ``retry_after`` seconds. The caller may use it again and then waits for the end of
        the pause.

        Args:
            name: the resource.
            work: the item that uses it; its run, tenant and weight determine its turn.
            units: number of requests that this use counts as.

        Raises:
            Fatal: the item was refused for longer than the resource's ``patience``, or one use
                needs more requests than the quota of a minute.
            PartUnavailable: the ledger cannot be reached.
            RunPaused: the tenant of the run is paused.
            SettingsError: no resource has that name.
            UsageError: ``units`` is below 1.
        """
        resource = self._resources.get(_folded(name))
        if resource is None:
            known = [one.name for one in self._resources.values()]
            raise SettingsError(unknown(f"resource {name!r}", name, known))
        key, permit = await self._admit(resource, work, units)
        outcome: Outcome = Failed(arrived=True)
        try:
            yield Use(key.secret)
            resource.succeeded(work)
            outcome = Done()
        except Refused as refusal:
            outcome = resource.refused(key, refusal)
            resource.check_patience(work, refusal)
            raise
        finally:
            permit.release(outcome)

    async def _admit(
        self, resource: "_Resource", work: Work, units: int
    ) -> tuple[PooledKey, Permit]:
        """Wait until the resource is not paused and its quota has room."""
        name = f"resource:{_folded(resource.name)}"
        while True:
            await self._controls.until_allowed(work, name)
            key, permit = await resource.admit(work, units)
            if self._controls.pause_of(work, name) is None:
                return key, permit
            permit.release(Failed())

    def explain(self) -> str:
        """Describe each resource: its limits, their use, and why uses wait."""
        return "; ".join(resource.explain() for resource in self._resources.values())

    def limits_changed(self) -> None:
        """Apply limits that an operator changed."""
        for resource in self._resources.values():
            resource.limits_changed()

    def limits(self) -> Sequence[LimitFigures]:
        """The quota of each resource and key in numbers."""
        return [one for resource in self._resources.values() for one in resource.limits()]

    async def close(self) -> None:
        """Release all leases."""
        for resource in self._resources.values():
            await resource.close()


class _Resource:
    """One resource in this process."""

    def __init__(
        self,
        name: str,
        settings: ResourceSettings,
        ledger: Callable[[], Ledger],
        *,
        holder: str,
        environ: Mapping[str, str],
        controls: LiveControls,
    ) -> None:
        self.name = name
        self._settings = settings
        limit = f"resource:{_folded(name)}"
        keys: Sequence[tuple[str, SecretStr | None]] = [
            (f"{limit}#{key}", _secret(name, key, secret, environ))
            for key, secret in settings.keys.items()
        ]
        self._pool = KeyPool(
            settings, keys or [(limit, None)], ledger, holder=holder, controls=controls
        )
        self._refused: dict[_Item, tuple[float, float]] = {}  # first and last refusal in a row

    async def admit(self, work: Work, units: int) -> tuple[PooledKey, Permit]:
        if units < 1:
            raise UsageError(f"units must be at least 1, got {units}")
        most = self._pool.quota.tokens
        if most is not None and units > most:
            raise Fatal(
                f"one use of {self.name} counts as {units} requests, more than "
                f"resources.{self.name}.requests_per_minute = {most}, so it can never start"
            )
        return await self._pool.admit(work, units)

    def succeeded(self, work: Work) -> None:
        self._refused.pop(_item(work), None)

    def refused(self, key: PooledKey, refusal: Refused) -> RateLimited:
        """The outcome that pauses a key for all workers."""
        # A longer pause would make other items wait, and then fail all the same.
        after = refusal.retry_after
        pause = None if after is None else min(after, self._settings.patience)
        key.refused(pause)
        return RateLimited(pause)

    def check_patience(self, work: Work, refusal: Refused) -> None:
        """Note that an item was refused.

        Raises:
            Fatal: it was refused for too long.
        """
        now, patience = asyncio.get_running_loop().time(), self._settings.patience
        self._refused = {
            item: times for item, times in self._refused.items() if now - times[1] <= patience
        }
        since, _ = self._refused.get(_item(work), (now, now))
        self._refused[_item(work)] = since, now
        if now - since + (refusal.retry_after or 0.0) > patience:
            del self._refused[_item(work)]
            raise Fatal(
                f"{self.name} refused for {now - since:.0f} s, and the next attempt would be "
                f"beyond resources.{self.name}.patience = {patience:g} s: {refusal}"
            ) from None

    def explain(self) -> str:
        settings, quota = self._settings, self._pool.quota
        limits = [
            f"{number} {what}"
            for number, what in (
                (quota.tokens, "requests a minute"),
                (quota.concurrency, "at once"),
            )
            if number is not None
        ]
        keys = f"{count(len(settings.keys), 'key')} of " if settings.keys else ""
        return f"{self.name}: {keys}{', '.join([', '.join(limits), *self._pool.explain()])}"

    def limits_changed(self) -> None:
        self._pool.limits_changed()

    def limits(self) -> Sequence[LimitFigures]:
        return [replace(one, strategy="resources") for one in self._pool.limits()]

    async def close(self) -> None:
        await self._pool.close()


def _folded(name: str) -> str:
    """In names of resources, ``-`` and ``_`` are equal."""
    return name.replace("_", "-")


def _item(work: Work) -> _Item:
    return work.run_id, work.concept_id, work.step


def _secret(name: str, key: str, secret: SecretStr | None, environ: Mapping[str, str]) -> SecretStr:
    if secret is None:
        value = environ.get(key)
        if not value:
            raise SettingsError(f"resources.{name}.keys: the environment variable {key} is not set")
        secret = SecretStr(value)
    return secret
