"""No database connection is held while an LLM is being waited for."""

import asyncio

from paceline import App
from paceline.contracts.provider import CompletionRequest
from paceline.settings.model import Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import real_time

from tests.core.rig import a_roadmap
from tests.store.places import SqlPlace

CONCEPTS = 40


class Counting(ScriptedProvider):
    """Answers when all concepts wait for it, and notes the connections in use meanwhile."""

    def __init__(self) -> None:
        super().__init__(self._script)
        self.everybody = asyncio.Event()

    def _script(self, request: CompletionRequest, ordinal: int) -> Reply:
        if ordinal == CONCEPTS:
            self.everybody.set()
        return (0.5 if ordinal <= CONCEPTS else 0.0), plain_answer(request.step)


@real_time
async def test_forty_calls_in_flight_use_no_connection(sql_place: SqlPlace) -> None:
    settings = Settings(store=sql_place.settings(), strategy=["unbounded"])
    store = sql_place.make(settings, "w", 2)
    await store.open()
    provider = Counting()
    app = App(settings, store=store, provider=provider)
    run, _ = await store.create_run(a_roadmap(CONCEPTS), executor="in-process")
    async with app.worker() as worker:
        working = asyncio.create_task(worker.run(run.run_id))
        await provider.everybody.wait()
        before = store.pool().checkouts
        assert store.pool().in_use == 0
        assert await working == "completed"
        # Forty concepts of three artifacts on two connections, in far fewer transactions.
        assert store.pool().checkouts - before < CONCEPTS * 3
        assert store.pool().peak <= 2
    await store.close()
