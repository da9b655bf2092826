"""What a run makes of failures of the provider that only its history explains."""

import asyncio
import logging

import pytest
from paceline.contracts.provider import CompletionRequest
from paceline.errors import (
    AccountExhausted,
    Fatal,
    ProviderUnusable,
    Refused,
    Unreachable,
    UnusableAnswer,
)
from paceline.settings.model import ProviderSettings, Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time

from tests.support.memory_worker import a_roadmap, rig

UNBOUNDED = Settings(strategy=["unbounded"], provider=ProviderSettings(patience=100.0))


def good(request: CompletionRequest) -> Reply:
    return 10.0, plain_answer(request.step)


@virtual_time
async def test_calls_in_flight_are_saved_when_the_account_is_exhausted() -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        return (1.0, AccountExhausted("no credit")) if ordinal == 7 else good(request)

    async with rig(ScriptedProvider(script), settings=UNBOUNDED) as it:
        run = await it.generate(a_roadmap(10))
        assert (run.status, run.reason, run.failed) == ("failed", "no credit", 0)
        assert len(await it.store.artifacts(run.run_id)) == 9
        assert len(it.provider.requests) == 10
        again = await it.generate(a_roadmap(10))
        assert (again.run_id, again.status) == (run.run_id, "completed")
        assert len(it.provider.requests) == 10 + 21


@pytest.mark.parametrize(("blip", "status"), [(5, "completed"), (1, "failed")])
@virtual_time
async def test_a_key_that_worked_before_is_tried_again_and_a_new_one_is_not(
    blip: int, status: str
) -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        return (1.0, ProviderUnusable("401")) if ordinal == blip else good(request)

    async with rig(ScriptedProvider(script), settings=UNBOUNDED) as it:
        assert (await it.generate(a_roadmap(2))).status == status


@virtual_time
async def test_a_key_that_stops_working_ends_the_run_after_the_attempts() -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        return (1.0, ProviderUnusable("revoked")) if ordinal > 3 else good(request)

    async with rig(ScriptedProvider(script), settings=UNBOUNDED) as it:
        run = await it.generate(a_roadmap(3))
        assert (run.status, run.reason) == ("failed", "revoked")
        assert len(it.provider.requests) <= 3 + 3 * 4


@virtual_time
async def test_the_first_concepts_that_fail_alike_end_the_run_and_stay_pending() -> None:
    def script(_request: CompletionRequest, _ordinal: int) -> Reply:
        return 1.0, Fatal("http://a (400): bad value 1")

    provider = ScriptedProvider(script)
    async with rig(provider, settings=Settings()) as it:
        run = await it.generate(a_roadmap(30))
        assert run.status == "failed"
        assert "the first 3 concepts failed alike: http://a (400)" in (run.reason or "")
        assert {one.status for one in await it.store.concepts(run.run_id)} == {"pending"}
        assert len(provider.requests) <= 5


@virtual_time
async def test_failures_that_differ_or_follow_an_answer_fail_their_concepts_only() -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        words = ("too odd", "not allowed", "no way")
        return (1.0, Fatal(words[ordinal - 1])) if ordinal <= 3 else good(request)

    async with rig(ScriptedProvider(script), settings=UNBOUNDED) as it:
        run = await it.generate(a_roadmap(10))
        assert (run.status, run.completed, run.failed) == ("partial", 7, 3)


@virtual_time
async def test_one_call_that_never_arrives_while_others_do_fails_its_concept() -> None:
    def script(request: CompletionRequest, _: int) -> Reply:
        if "Concept 1\n" in request.messages[-1].content:
            return 0.0, Unreachable("closed the connection")
        return 0.5, plain_answer(request.step)

    async with rig(ScriptedProvider(script), settings=UNBOUNDED) as it:
        run = await it.generate(a_roadmap(20))
        assert run.status in {"partial", "failed"}
        [state] = [one for one in await it.store.concepts(run.run_id) if one.status != "completed"]
        assert state.concept_id == "c1"


@virtual_time
async def test_a_long_wait_is_one_warning_and_its_end_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="paceline.provider")

    def script(request: CompletionRequest, _: int) -> Reply:
        if asyncio.get_running_loop().time() < 40:
            return 0.0, Refused("slow down", 10.0)
        return good(request)

    async with rig(ScriptedProvider(script), settings=UNBOUNDED) as it:
        assert (await it.generate(a_roadmap(10))).status == "completed"
    warned = [one for one in caplog.messages if "slow down" in one]
    assert len(warned) == 2
    assert "trying again for up to 100 s" in warned[0]
    assert "answers again" in warned[1]


@virtual_time
async def test_a_truncated_answer_is_asked_for_with_a_higher_bound_and_every_token_counts() -> None:
    def script(request: CompletionRequest, _: int) -> Reply:
        if request.step == "tutorial" and request.max_tokens == 6000:
            cut = UnusableAnswer("truncated", "cut off", '{"title": "x')
            return 1.0, cut.charge(100, 6000, estimated=False)
        return good(request)

    async with rig(ScriptedProvider(script), settings=UNBOUNDED) as it:
        run = await it.generate(a_roadmap(1))
        assert run.status == "completed"
        bounds = [one.max_tokens for one in it.provider.requests if one.step == "tutorial"]
        assert bounds == [6000, 12_000]
        [made] = await it.store.artifacts(run.run_id, step="tutorial")
        assert (made.prompt_tokens, made.completion_tokens) == (200, 6050)
        assert made.attempts == 2


@virtual_time
async def test_a_bound_that_cannot_rise_asks_for_a_shorter_answer() -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        if ordinal == 1:
            return 1.0, UnusableAnswer("truncated", "cut off", '{"title": "x', highest=6000)
        return good(request)

    async with rig(ScriptedProvider(script), settings=UNBOUNDED) as it:
        assert (await it.generate(a_roadmap(1))).status == "completed"
        first, second = it.provider.requests[:2]
        assert second.max_tokens == first.max_tokens
        assert [one.role for one in second.messages] == ["system", "user", "user"]
        assert "below 2000 words" in second.messages[-1].content


@virtual_time
async def test_a_model_that_thinks_long_gets_room_and_later_calls_start_there() -> None:
    def script(request: CompletionRequest, _: int) -> Reply:
        if request.max_tokens < 20_000:
            return 1.0, UnusableAnswer("truncated", "cut off")
        return good(request)

    async with rig(ScriptedProvider(script), settings=Settings()) as it:
        assert (await it.generate(a_roadmap(1))).status == "completed"
        assert [one.max_tokens for one in it.provider.requests] == [6000] + [32_768] * 3


@virtual_time
async def test_long_refusals_are_in_the_events_and_figures_until_a_call_is_answered() -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        return (1.0, Refused("slow down", 20.0)) if ordinal <= 2 else good(request)

    async with rig(ScriptedProvider(script), settings=UNBOUNDED) as it:
        run, _ = await it.client.submit(a_roadmap(1))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(15)
        assert it.worker.heartbeat.figures().trouble == {run.run_id: "slow down"}
        await working
        assert it.worker.heartbeat.figures().trouble == {}
        told = [one for one in await it.events(run.run_id) if one.concept_id is None]
        assert [(one.status, one.reason) for one in told] == [
            ("running", None),
            ("running", "slow down"),
            ("running", None),
            ("completed", None),
        ]


@pytest.mark.parametrize(("unusable", "warnings"), [(4, 1), (1, 0)])
@virtual_time
async def test_a_model_that_cannot_do_it_is_one_early_warning(
    unusable: int, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "paceline")

    def script(request: CompletionRequest, ordinal: int) -> Reply:
        if ordinal <= unusable:
            return 10.0, UnusableAnswer("malformed", "no title")
        return good(request)

    async with rig(ScriptedProvider(script), settings=UNBOUNDED) as it:
        await it.generate(a_roadmap(3))
    warned = [one for one in caplog.messages if "choose a larger model" in one]
    assert len(warned) == warnings
    assert all("first 2 answers" in one and "no title" in one for one in warned)
