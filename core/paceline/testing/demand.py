"""Workers with more calls than a provider accepts, all the time."""

import asyncio
import random
from collections.abc import Sequence

from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.admission.work import Done, Failed, Work
from paceline.testing.models import ModelProvider

#: Bounds of the pause after a refused call, as in the settings, in seconds.
FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 60.0


async def demand(
    workers: Sequence[Strategy],
    provider: ModelProvider,
    *,
    callers: int,
    seconds: float,
    tokens: int = 0,
    seed: int = 0,
) -> None:
    """Let each worker's callers make calls one after another, and stop them after ``seconds``.

    Args:
        workers: the strategy of each worker.
        provider: the provider they call.
        callers: number of callers of each worker.
        seconds: duration of the demand.
        tokens: most tokens that a call is charged. The calls differ at random.
        seed: seed of the random numbers.
    """
    chance = random.Random(seed)  # noqa: S311

    async def caller(number: int, strategy: Strategy) -> None:
        work = Work(
            level="call",
            run_id=f"run-{number % 8}",
            roadmap_id="roadmap",
            concept_id="concept",
            key="model",
            step="tutorial",
            tokens=tokens,
        )
        while True:
            charged = chance.randint(tokens // 2, tokens)
            await _until_answered(strategy, provider, work, charged, chance)

    tasks = [
        asyncio.create_task(caller(number, strategy))
        for strategy in workers
        for number in range(callers)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
    for strategy in workers:
        await strategy.close()


async def _until_answered(
    strategy: Strategy, provider: ModelProvider, work: Work, tokens: int, chance: random.Random
) -> None:
    failures = 0
    while True:
        permit = await strategy.admit(work)
        try:
            outcome = await provider.call(tokens)
        except BaseException:
            permit.release(Failed())
            raise
        permit.release(outcome)
        if isinstance(outcome, Done):
            return
        if not strategy.holds_refusals:
            bound = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures, 20))
            await asyncio.sleep((outcome.retry_after or 0.0) + chance.uniform(0.0, bound))
        failures += 1
