"""The outcome of each call that a strategy receives, and the pause after a refusal."""

import asyncio

from paceline import Strategy
from paceline.contracts.admission.work import (
    Done,
    Failed,
    Level,
    Outcome,
    Permit,
    RateLimitInfo,
    Work,
)
from paceline.contracts.admission.work import RateLimited as WasRefused
from paceline.contracts.provider import CompletionRequest
from paceline.contracts.share import Share
from paceline.errors import Refused, Transient, Unreachable
from paceline.settings.model import ProviderSettings, Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import run_virtual, virtual_time

from tests.support.memory_worker import a_roadmap, rig

HEADERS = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "7"}
SAID = RateLimitInfo(requests=60, requests_left=7)


class Notes(Strategy):
    """Admits all calls and records their outcomes."""

    levels: frozenset[Level] = frozenset({"call"})

    def __init__(self, *, holds: bool = False) -> None:
        self.holds_refusals = holds
        self.told: list[tuple[Work, Outcome]] = []
        self.asked: list[float] = []

    async def admit(self, work: Work) -> Permit:
        self.asked.append(asyncio.get_running_loop().time())
        return Permit(lambda outcome: self.told.append((work, outcome)))


@virtual_time
async def outcomes(first: Reply) -> tuple[Work, Outcome, CompletionRequest]:
    """The outcome that the strategy receives for the first call with this reply."""
    notes = Notes()
    provider = ScriptedProvider(
        lambda request, n: first if n == 1 else (1.0, plain_answer(request.step))
    )
    async with rig(provider, strategies=[("notes", notes)]) as it:
        assert (await it.generate(a_roadmap(1))).status == "completed"
    return (*notes.told[0], provider.requests[0])


def test_a_successful_call_reports_the_tokens_counted_by_the_provider() -> None:
    work, outcome, request = outcomes((2.0, plain_answer("tutorial")))
    assert isinstance(outcome, Done)
    assert outcome.seconds == 2.0
    # The maximum answer was reserved at admission, although the answer is shorter.
    assert outcome.tokens > request.max_tokens
    assert work.tokens == request.estimated_tokens()


def test_a_refusal_reports_its_retry_after_and_its_headers() -> None:
    _, outcome, _ = outcomes((0.0, Refused("full", 7.0, HEADERS)))
    assert outcome == WasRefused(7.0, SAID)


def test_a_pause_is_never_longer_than_the_maximum() -> None:
    _, outcome, _ = outcomes((0.0, Refused("full", 86_400.0)))
    assert outcome == WasRefused(ProviderSettings().max_backoff)


def test_a_failed_call_counts_as_arrived_unless_the_server_was_unreachable() -> None:
    assert outcomes((1.0, Transient("cut")))[1] == Failed(arrived=True)
    assert outcomes((1.0, Unreachable("away")))[1] == Failed(arrived=False)


def test_a_call_does_not_pause_if_the_strategy_pauses_all_calls() -> None:
    async def gaps(*, holds: bool) -> float:
        notes = Notes(holds=holds)
        provider = ScriptedProvider(
            lambda request, n: (
                (0.0, Refused("full", 20.0)) if n == 1 else (1.0, plain_answer(request.step))
            )
        )
        async with rig(provider, strategies=[("notes", notes)]) as it:
            assert (await it.generate(a_roadmap(1))).status == "completed"
        return notes.asked[1] - notes.asked[0]

    assert run_virtual(gaps(holds=True)) == 0
    assert run_virtual(gaps(holds=False)) >= 20


@virtual_time
async def test_refusals_fail_after_the_patience_even_if_the_strategy_pauses() -> None:
    patient = Settings(strategy=["unbounded"], provider=ProviderSettings(patience=100.0))
    provider = ScriptedProvider(lambda *_: (0.0, Refused("full", 30.0)))
    strategies = [("notes", Notes(holds=True))]
    async with rig(provider, settings=patient, strategies=strategies) as it:
        run = await it.generate(a_roadmap(1))
        assert run.status == "failed"
        assert "longer than provider.patience" in (run.reason or "")
        assert len(provider.requests) == 4


@virtual_time
async def test_a_call_names_its_tenant() -> None:
    notes = Notes()
    async with rig(strategies=[("notes", notes)]) as it:
        run, _ = await it.client.submit(a_roadmap(1), share=Share("acme", 2.0))
        await it.worker.run(run.run_id)
    assert {(work.tenant, work.weight) for work, _ in notes.told} == {("acme", 2.0)}
