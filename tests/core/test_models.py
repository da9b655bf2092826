"""Chains of models: which one is asked, what an artifact says about it, and what it cost."""

import asyncio

import pytest
from paceline import (
    AccountExhausted,
    Completion,
    CompletionRequest,
    Refused,
    SettingsError,
    Unreachable,
    UnusableAnswer,
)
from paceline.calls.models import FIRST_PROBE
from paceline.settings.model import Settings
from paceline.testing.scripted import Reply, Script, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time

from tests.support.memory_worker import a_roadmap, rig
from tests.support.step_plugins import ScriptedModels


def answers(request: CompletionRequest, _: int) -> Reply:
    return 1.0, plain_answer(request.step)


def fails(error: Exception) -> Script:
    return lambda _request, _number: (1.0, error)


def two_models(**own: object) -> Settings:
    """A settings with a chain of ``cheap`` and ``strong`` for every step."""
    chain = ["cheap", "strong"]
    return Settings.model_validate(
        {
            "strategy": ["unbounded"],
            "models": {
                "cheap": {
                    "provider": "scripted", "model": "small", "patience": 20,
                    "prompt_price": 1, "completion_price": 2,
                },
                "strong": {
                    "provider": "scripted", "model": "large",
                    "prompt_price": 10, "completion_price": 20,
                },
            },
            "steps": {name: {"model": chain} for name in ("tutorial", "resources", "quiz")},
            **own,
        }
    )  # fmt: skip


@virtual_time
async def test_the_first_model_of_the_chain_writes_if_it_can() -> None:
    models = ScriptedModels({"small": answers, "large": answers})
    async with rig(settings=two_models(), plugins=[models]) as it:
        run = await it.generate(a_roadmap(2))
        artifacts = await it.store.artifacts(run.run_id)
    assert run.status == "completed"
    assert {(one.model, one.fallback) for one in artifacts} == {("small", None)}
    assert not models.made["large"].requests


@pytest.mark.parametrize(
    "error",
    [
        AccountExhausted("no credit is left"),
        Unreachable("connection refused"),
        Refused("overloaded", 5.0),
        UnusableAnswer("malformed", "it is no JSON", "nonsense"),
        UnusableAnswer("refusal", "I cannot write that"),
    ],
    ids=lambda error: type(error).__name__,
)
@virtual_time
async def test_the_next_model_writes_what_the_first_one_cannot(error: Exception) -> None:
    models = ScriptedModels({"small": fails(error), "large": answers})
    async with rig(settings=two_models(), plugins=[models]) as it:
        run = await it.generate(a_roadmap(1))
        artifacts = await it.store.artifacts(run.run_id)
    assert run.status == "completed"
    assert {one.model for one in artifacts} == {"large"}
    assert all(one.fallback and one.fallback.startswith("cheap: ") for one in artifacts)
    assert str(error) in str(artifacts[0].fallback)


@virtual_time
async def test_a_model_that_is_down_is_probed_by_one_call_not_by_each_concept() -> None:
    models = ScriptedModels({"small": fails(AccountExhausted("no credit")), "large": answers})
    async with rig(settings=two_models(), plugins=[models]) as it:
        await it.generate(a_roadmap(1, "first"))
        before = len(models.made["small"].requests)
        run = await it.generate(a_roadmap(50, "second"))
        during = len(models.made["small"].requests)
        await asyncio.sleep(2 * FIRST_PROBE)
        await it.generate(a_roadmap(50, "third"))
        after = len(models.made["small"].requests)
    assert run.status == "completed"
    assert (before, during, after) == (1, 1, 2)


@virtual_time
async def test_a_probe_that_is_answered_brings_the_model_back() -> None:
    credit = False

    def small(request: CompletionRequest, _: int) -> Reply:
        if credit:
            return answers(request, 0)
        return 1.0, AccountExhausted("no credit")

    models = ScriptedModels({"small": small, "large": answers})
    async with rig(settings=two_models(), plugins=[models]) as it:
        await it.generate(a_roadmap(1, "first"))
        credit = True
        await asyncio.sleep(2 * FIRST_PROBE)
        run = await it.generate(a_roadmap(3, "second"))
        artifacts = await it.store.artifacts(run.run_id)
    assert {one.model for one in artifacts if one.concept_id == "c0"} == {"small"}


@virtual_time
async def test_a_run_ends_and_can_be_resumed_if_no_model_of_the_chain_can_answer() -> None:
    models = ScriptedModels(
        {"small": fails(AccountExhausted("no credit")), "large": fails(Unreachable("it is down"))}
    )
    async with rig(settings=two_models(), plugins=[models]) as it:
        run = await it.generate(a_roadmap(5))
        states = await it.store.concepts(run.run_id)
    assert run.status == "failed"
    assert "cheap: no credit; strong: " in str(run.reason)
    assert {state.status for state in states} == {"pending"}


@virtual_time
async def test_each_call_is_paid_at_the_price_of_its_model() -> None:
    bad = UnusableAnswer("malformed", "no JSON", "x").charge(1000, 500, estimated=False)
    models = ScriptedModels({"small": fails(bad), "large": answers})
    async with rig(settings=two_models(), plugins=[models]) as it:
        run = await it.generate(a_roadmap(1))
        spending = await it.store.spending(run.run_id)
    small = len(models.made["small"].requests)
    assert small == 6, "each step asked once and repaired once"
    assert spending.total.prompt_tokens == small * 1000 + 3 * 100
    expected = small * (1000 * 1 + 500 * 2) / 1e6 + 3 * (100 * 10 + 50 * 20) / 1e6
    assert spending.total.cost == pytest.approx(expected)


@virtual_time
async def test_cached_tokens_and_the_providers_own_cost_are_used() -> None:
    def script(request: CompletionRequest, number: int) -> Reply:
        return 1.0, Completion(
            text=plain_answer(request.step),
            model="small",
            prompt_tokens=1000,
            completion_tokens=100,
            cached_prompt_tokens=800,
            cost=0.5 if number == 3 else None,
        )

    settings = two_models()
    settings.models["cheap"] = settings.models["cheap"].model_copy(
        update={"cached_prompt_price": 0.5}
    )
    models = ScriptedModels({"small": script, "large": answers})
    async with rig(settings=settings, plugins=[models]) as it:
        run = await it.generate(a_roadmap(1))
        spending = await it.store.spending(run.run_id)
    one = (200 * 1 + 800 * 0.5 + 100 * 2) / 1e6
    assert spending.total.cost == pytest.approx(2 * one + 0.5)


@virtual_time
async def test_calls_are_admitted_for_the_key_of_their_model() -> None:
    models = ScriptedModels({"small": fails(AccountExhausted("no credit")), "large": answers})
    settings = two_models(
        strategy=["global"], strategies={"global": {"keys": {"scripted:large": {"concurrency": 1}}}}
    )
    async with rig(settings=settings, plugins=[models]) as it:
        run = await it.generate(a_roadmap(6))
    assert run.status == "completed"
    assert models.made["large"].peak == 1


def test_a_key_is_not_sent_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    settings = Settings.model_validate(
        {
            "provider": {"api_key": "sk-common", "base_url": "https://one.example/v1"},
            "models": {
                "same": {"model": "other"},
                "elsewhere": {"base_url": "https://two.example/v1"},
            },
        }
    )
    same, elsewhere = settings.model("same").api_key, settings.model("elsewhere").api_key
    assert same is not None
    assert elsewhere is not None
    assert (same.get_secret_value(), elsewhere.get_secret_value()) == ("sk-common", "no-key")


def test_a_model_with_its_own_name_has_no_price_of_another_model() -> None:
    settings = Settings.model_validate(
        {
            "provider": {"prompt_price": 1, "completion_price": 2},
            "models": {"other": {"model": "claude-x"}},
        }
    )
    assert settings.model("other").cost(1000, 1000) is None
    assert settings.model("main").cost(1_000_000, 0) == 1


def test_an_unknown_model_is_refused_with_the_names_that_exist() -> None:
    settings = Settings.model_validate({"models": {"strong": {"model": "large"}}})
    with pytest.raises(SettingsError, match=r"'stron'.*strong"):
        settings.model("stron")


@virtual_time
async def test_an_error_names_the_settings_of_its_model() -> None:
    models = ScriptedModels({"small": fails(Unreachable("it is down")), "large": answers})
    async with rig(settings=two_models(), plugins=[models]) as it:
        run = await it.generate(a_roadmap(1))
        (artifact, *_) = await it.store.artifacts(run.run_id)
    assert "longer than models.cheap.patience: it is down" in str(artifact.fallback)


@virtual_time
async def test_the_same_model_on_two_servers_has_two_quotas() -> None:
    same = {"provider": "scripted", "model": "small", "patience": 20}
    settings = Settings.model_validate(
        {
            "strategy": ["global"],
            "strategies": {"global": {"keys": {"scripted:small@east": {"concurrency": 2}}}},
            "models": {
                "east": same | {"base_url": "https://east.example/v1"},
                "west": same | {"base_url": "https://west.example/v1"},
            },
            "steps": {
                "tutorial": {"model": "east"},
                "resources": {"model": "west"},
                "quiz": {"model": "west"},
            },
        }
    )
    models = ScriptedModels({"small": answers})
    async with rig(settings=settings, plugins=[models]) as it:
        chain = it.worker.parts.models.chain(["east", "west"])
        await it.generate(a_roadmap(8))
    assert [one.key for one in chain] == ["scripted:small@east", "scripted:small@west"]
    peaks = [one.provider.peak for one in chain if isinstance(one.provider, ScriptedProvider)]
    assert peaks[0] == 2
    assert peaks[1] > 2, "the other server has a quota of its own"
