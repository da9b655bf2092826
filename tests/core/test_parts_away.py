"""A part fails while a run is claimed, loaded or generated: the run waits and is never stuck."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from paceline.contracts.executor import Executor
from paceline.contracts.provider import CompletionRequest
from paceline.contracts.storage.records import (
    NOTHING_REPLACED,
    Artifact,
    Beat,
    Claim,
    ConceptState,
    Figures,
    Replaced,
)
from paceline.errors import PartUnavailable, Unreachable
from paceline.settings.model import ProviderSettings, RunSettings, Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import a_roadmap, rig

CALL = 10.0


def steady(request: CompletionRequest, _: int) -> Reply:
    """Ten seconds a call."""
    return CALL, plain_answer(request.step)


class Faulty(MemoryStore):
    """A store that fails to load artifacts, or to save them, a given number of times."""

    def __init__(self, *, loads: int = 0, saves: int = 0, slow_claims: float = 0.0) -> None:
        super().__init__()
        self.loads, self.saves, self.slow_claims = loads, saves, slow_claims
        #: Whether every write fails, as on a full disk.
        self.full = False

    def _writable(self) -> None:
        if self.full:
            raise PartUnavailable("the disk is full")

    async def claim_next(
        self, executor: str, worker_id: str, *, lease: float, only: Sequence[str] | None = None
    ) -> Claim | None:
        self._writable()
        return await super().claim_next(executor, worker_id, lease=lease, only=only)

    async def hand_back(self, claim: Claim, reason: str | None = None) -> None:
        self._writable()
        await super().hand_back(claim, reason)

    async def beat(self, worker_id: str, figures: Figures, *, lease: float) -> Beat:
        self._writable()
        return await super().beat(worker_id, figures, lease=lease)

    async def claim(self, run_id: str, worker_id: str, *, lease: float) -> Claim | None:
        claim = await super().claim(run_id, worker_id, lease=lease)
        await asyncio.sleep(
            self.slow_claims
        )  # committed, but the caller has not received the answer yet
        return claim

    async def artifact_steps(
        self, run_id: str, *, concepts: Sequence[str] | None = None
    ) -> Mapping[str, frozenset[str]]:
        if self.loads:
            self.loads -= 1
            raise PartUnavailable("the database is away")
        return await super().artifact_steps(run_id, concepts=concepts)

    async def save(
        self,
        claim: Claim,
        artifact: Artifact,
        *,
        concept: ConceptState | None,
        replaced: Replaced = NOTHING_REPLACED,
    ) -> None:
        self._writable()
        if self.saves:
            self.saves -= 1
            raise PartUnavailable("the disk is full")
        await super().save(claim, artifact, concept=concept, replaced=replaced)


class Brokerless(Executor):
    """An executor that cannot reach its queue."""

    def serve(self, *, concurrency: int | None = None) -> int:
        raise NotImplementedError

    async def submit(self, run_id: str) -> None:
        raise PartUnavailable("the broker is away")


@virtual_time
async def run_it(store: MemoryStore, **given: Any) -> tuple[str, str | None, float, int]:
    """Serve one run of three concepts to its end: status, reason, seconds, calls."""
    async with rig(ScriptedProvider(steady), store=store, **given) as it:
        run, _ = await it.client.submit(a_roadmap(3))
        serving = asyncio.create_task(it.worker.serve())
        await it.events(run.run_id)  # the last event arrives when the run ends
        now = await store.run(run.run_id)
        seconds = asyncio.get_running_loop().time()
        await it.worker.stop()
        await serving
        return now.status, now.reason, seconds, len(it.provider.requests)


def test_an_error_while_loading_a_run_releases_it_before_its_lease_ends() -> None:
    status, _, seconds, calls = run_it(
        Faulty(loads=2), settings=Settings(strategy=["unbounded"], run=RunSettings(lease=3600))
    )
    assert (status, calls) == ("completed", 9)
    assert seconds < 3 * CALL + 10


def test_a_run_that_can_be_claimed_but_never_saved_fails_after_a_few_tries() -> None:
    status, reason, seconds, calls = run_it(Faulty(saves=10**6))
    assert status == "failed"
    assert reason == "failed 3 times before it saved an artifact: the disk is full"
    assert calls == 3 * 3
    assert seconds > 3 * CALL + 2, "it waits between two tries"


def test_a_run_waits_for_a_part_that_recovers() -> None:
    status, _, _, calls = run_it(Faulty(saves=3))
    assert status == "completed"
    assert calls <= 9 + 3


@virtual_time
async def test_a_store_outage_is_logged_once_when_it_starts_and_once_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="paceline")

    def told() -> list[str]:
        return [one.getMessage() for one in caplog.records if "the disk is full;" in one.message]

    store = Faulty()
    async with rig(ScriptedProvider(steady), store=store) as it:
        run, _ = await it.client.submit(a_roadmap(3))
        serving = asyncio.create_task(it.worker.serve())
        await asyncio.sleep(CALL / 2)
        store.full = True
        await asyncio.sleep(2.0)
        assert told() == ["the disk is full; runs wait until it is reachable again"]
        await asyncio.sleep(600.0)
        assert len(told()) == 1
        assert not [one for one in caplog.messages if one.startswith("recovered")]
        store.full = False
        await it.events(run.run_id)
        assert (await store.run(run.run_id)).status == "completed"
        assert len(told()) == 1
        assert caplog.messages.count("recovered (was: the disk is full)") == 1
        await it.worker.stop()
        await serving


@virtual_time
async def test_a_run_waits_in_the_store_while_its_queue_is_unreachable(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with rig(ScriptedProvider(steady)) as it:
        run, _ = await it.client.submit(a_roadmap(3))
        it.worker.parts = replace(it.worker.parts, executor=Brokerless())
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(CALL / 2)
        await it.worker.stop()
        assert await working == "queued"
        assert (await it.store.run(run.run_id)).status == "queued"
    [told] = [one for one in caplog.messages if "the broker is away" in one]
    assert "waits in the store" in told


@virtual_time
async def test_a_claim_is_released_immediately_if_its_caller_was_cancelled() -> None:
    store = Faulty(slow_claims=1.0)
    async with rig(ScriptedProvider(steady), store=store) as it:
        run, _ = await it.client.submit(a_roadmap(3))
        taking = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(0.5)
        taking.cancel()
        await asyncio.wait({taking})
        assert taking.cancelled()
        assert (await store.run(run.run_id)).status == "queued"


@virtual_time
async def test_a_worker_that_drains_during_a_claim_starts_nothing() -> None:
    store = Faulty(slow_claims=1.0)
    async with rig(ScriptedProvider(steady), store=store) as it:
        run, _ = await it.client.submit(a_roadmap(3))
        serving = asyncio.create_task(it.worker.serve())
        await asyncio.sleep(0.5)
        await it.worker.drain(grace=5.0)
        await serving
        assert (await store.run(run.run_id)).status == "queued"
        assert it.provider.requests == []


@pytest.mark.parametrize(("minutes", "status"), [(1, "completed"), (60, "failed")])
@virtual_time
async def test_a_run_waits_for_an_unreachable_provider_until_the_patience_ends(
    minutes: int, status: str
) -> None:
    def down(request: CompletionRequest, ordinal: int) -> Reply:
        if asyncio.get_running_loop().time() < minutes * 60:
            return 0.0, Unreachable("the provider cannot be reached")
        return steady(request, ordinal)

    chosen = Settings(
        provider=ProviderSettings(patience=600.0, max_backoff=20.0),
        run=RunSettings(deadline=86_400.0),
    )
    async with rig(ScriptedProvider(down), settings=chosen) as it:
        run = await it.generate(a_roadmap(60))
        assert run.status == status
        if status == "failed":
            # All concepts share the outage, so sixty concepts do not wait one after the other.
            assert asyncio.get_running_loop().time() < 600 + 60
            assert "the provider cannot be reached" in (run.reason or "")
            # One reason for all, and no concept to retry by hand.
            states = await it.store.concepts(run.run_id)
            assert {state.status for state in states} == {"pending"}
        # Retries are jittered and bounded: each of the five concepts retries a few times a minute.
        asked = len(it.provider.requests) - 180 * (status == "completed")
        assert asked < 5 * 12 * 10 + 60
