"""A step's notes and its model's fallback: what the pipeline reports of them."""

from types import ModuleType

from paceline import (
    App,
    Context,
    Message,
    NoOptions,
    Options,
    Provider,
    Register,
    Step,
    StepContext,
    Subject,
    hookimpl,
)
from paceline.client.client import Client
from paceline.client.terminal.live_display import LiveDisplay
from paceline.client.terminal.progress_display import PlainDisplay
from paceline.client.totals import Totals
from paceline.errors import AccountExhausted
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.testing.scripted import ScriptedProvider
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.memory.store import MemoryStore
from pydantic import BaseModel

from tests.support.memory_worker import a_roadmap

CONCEPTS = 3


class Line(BaseModel):
    """One line."""

    text: str


class Chatty(Step):
    """Publishes a note, then asks."""

    answer = Line

    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        ctx.tell(f"looking at\n {subject.concept.name}")
        return await ctx.ask([Message("user", subject.concept.name)])


@hookimpl
def paceline_register_steps(register: Register[Step]) -> None:
    register("chatty", lambda _options, _context: Chatty(), options=NoOptions, summary="Talks.")


@hookimpl
def paceline_register_providers(register: Register[Provider]) -> None:
    def make(_: Options, context: Context) -> Provider:
        failing = context.settings.provider.model == "poor"
        reply = AccountExhausted("no credit") if failing else Line(text="done")
        return ScriptedProvider(lambda *_: (1.0, reply))

    register("scripted", make, options=NoOptions, summary="Scripted.")


def settings() -> Settings:
    """A chain in which the first model has no credit."""
    return Settings.model_validate(
        {
            "strategy": ["unbounded"],
            "run": {"steps": ["chatty"]},
            "steps": {"chatty": {"model": ["main", "spare"]}},
            "provider": {"name": "scripted", "model": "poor"},
            "models": {"spare": {"model": "rich"}},
        }
    )


@virtual_time
async def test_a_run_reports_notes_and_counts_fallbacks() -> None:
    store, bus = MemoryStore(), MemoryBus(max_length=100)
    await store.open()
    plugin = ModuleType("chatty")
    vars(plugin).update(globals())
    plugins = Plugins()
    plugins.register(plugin, "chatty")
    async with App(settings(), plugins=plugins, store=store, bus=bus).worker() as worker:
        client = Client(worker.parts)
        run, _ = await client.submit(a_roadmap(CONCEPTS))
        await worker.run(run.run_id)
        ended = await store.run(run.run_id)
        assert (ended.status, ended.completed) == ("completed", CONCEPTS)
        assert worker.heartbeat.figures().fallbacks == CONCEPTS
        assert Totals.over(await store.workers()).fallbacks <= CONCEPTS
        [artifact] = await store.artifacts(run.run_id, concept_id="c0")
        assert artifact.fallback is not None
        assert artifact.fallback.startswith("main: ")
        bars, lines = LiveDisplay(steps=1), PlainDisplay(steps=1)
        for display in (bars, lines):
            display.add(run.run_id, "A title", CONCEPTS)
        notes: dict[str | None, str | None] = {}
        async for event in bus.subscribe(run.run_id):
            lines.event(event)
            bars.event(event)
            if event.is_note:
                notes[event.concept_id] = event.reason
                assert (event.step, event.status) == ("chatty", "generating")
                assert event.progress_current == 0
                assert bars._runs[run.run_id].saved == 0, "a note is no artifact"
                assert lines._note == f"{event.concept_id} chatty: {event.reason}"
            if event.terminal:
                break
        assert notes == {f"c{n}": f"looking at Concept {n}" for n in range(CONCEPTS)}
        assert (bars._note, lines._note) == ("", ""), "a note is shown while its run is in work"
    await bus.close()
    await store.close()
