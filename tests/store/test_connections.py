"""No database connection is in use during an LLM call."""

import asyncio

from paceline import App
from paceline.contracts.provider import CompletionRequest
from paceline.settings.model import Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import real_time

from tests.support.databases import SqlPlace
from tests.support.eventually import eventually_async
from tests.support.memory_worker import a_roadmap

CONCEPTS = 40


class HoldsFirstCalls(ScriptedProvider):
    """Signals when every concept has its first call in flight."""

    def __init__(self) -> None:
        super().__init__(self._script)
        self.all_in_flight = asyncio.Event()

    def _script(self, request: CompletionRequest, ordinal: int) -> Reply:
        if ordinal == CONCEPTS:
            self.all_in_flight.set()
        return (0.5 if ordinal <= CONCEPTS else 0.0), plain_answer(request.step)


@real_time
async def test_forty_calls_in_flight_use_no_connection(sql_place: SqlPlace) -> None:
    settings = Settings(store=sql_place.settings(), strategy=["unbounded"])
    store = sql_place.make(settings, "w", 2)
    await store.open()
    provider = HoldsFirstCalls()
    app = App(settings, store=store, provider=provider)
    run, _ = await store.create_run(a_roadmap(CONCEPTS), executor="in-process")
    async with app.worker() as worker:
        working = asyncio.create_task(worker.run(run.run_id))
        await provider.all_in_flight.wait()
        before = sum(store.pool().waits.values())
        # A beat needs one for a moment.
        assert await eventually_async(lambda: store.pool().in_use == 0)
        assert await working == "completed"
        # 120 artifacts on two connections, in far fewer transactions.
        assert sum(store.pool().waits.values()) - before < CONCEPTS * 3
        assert store.pool().peak <= 2
    await store.close()
