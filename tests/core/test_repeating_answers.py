"""Answers that were cut off because the model repeated itself."""

import random

from paceline import CompletionRequest, UnusableAnswer
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time
from paceline_strategies.per_roadmap import PerRoadmap

from tests.support.memory_worker import a_roadmap, rig

LOOP = '{"sections": [' + '{"title": "Lists", "content": "A list is a list."}, ' * 60


@virtual_time
async def test_a_model_that_repeats_itself_is_not_asked_again_and_the_reason_says_so() -> None:
    def script(_request: CompletionRequest, _: int) -> Reply:
        return 60.0, UnusableAnswer("truncated", "it reached the longest answer", LOOP)

    provider = ScriptedProvider(script)
    async with rig(provider) as it:
        run = await it.generate(a_roadmap(1))
        (state,) = await it.store.concepts(run.run_id)
    assert len(provider.requests) == 1
    assert str(state.reason).endswith("the model repeats itself: use a larger model")


@virtual_time
async def test_a_long_answer_that_was_cut_off_is_asked_for_again_with_a_higher_bound() -> None:
    chance = random.Random(7)
    words = " ".join(str(chance.random()) for _ in range(200))

    def script(request: CompletionRequest, number: int) -> Reply:
        if number == 1:
            return 1.0, UnusableAnswer("truncated", "it reached the longest answer", words)
        return 1.0, plain_answer(request.step)

    provider = ScriptedProvider(script)
    async with rig(provider, strategies=[("serial", PerRoadmap(1))]) as it:
        await it.generate(a_roadmap(3))
    bounds = [one.max_tokens for one in provider.requests if one.step == "tutorial"]
    assert bounds == [6000, 12000, 12000, 12000], "no later call starts with the small bound"
