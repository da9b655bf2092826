"""Uses every public name of ``paceline`` once. mypy checks this file; nothing runs it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import click
import paceline
from pydantic import BaseModel, SecretStr


def use(*_: object) -> None:
    """Use values."""


class NoteOptions(paceline.Options):
    """Options of a plugin."""

    calls: int = 1


class OneAtATime(paceline.Strategy):
    """A strategy."""

    levels: frozenset[paceline.Level] = frozenset({"call"})

    async def admit(self, work: paceline.Work) -> paceline.Permit:
        return paceline.Permit(on_release)

    def lower_bound(
        self, roadmaps: Sequence[paceline.PlannedRoadmap], *, workers: int
    ) -> float | None:
        last: paceline.PlannedCall = roadmaps[0][0][-1]
        return last.seconds * last.tokens / workers


def on_release(outcome: paceline.Outcome) -> None:
    match outcome:
        case paceline.Done(tokens=tokens, rate_limit_info=info):
            remaining: paceline.RateLimitInfo | None = info
            use(tokens, remaining)
        case paceline.RateLimited(retry_after=seconds):
            use(seconds)
        case paceline.Failed(arrived=arrived):
            use(arrived)


class Echo(paceline.Provider):
    """A provider, with each error that it may raise."""

    key = "echo:1"

    async def complete(self, request: paceline.CompletionRequest) -> paceline.Completion:
        message: paceline.Message = request.messages[-1]
        match message.content:
            case "429":
                raise paceline.Refused(retry_after=2)
            case "500":
                raise paceline.Transient("timed out")
            case "down":
                raise paceline.Unreachable("connection refused")
            case "policy":
                raise paceline.Fatal("the prompt breaks a rule")
            case "key":
                raise paceline.ProviderUnusable("the key is wrong")
            case "credit":
                raise paceline.AccountExhausted("no credit", reopens_in=3600)
            case "long":
                raise paceline.RequestTooLong("the prompt is too long")
            case "":
                raise paceline.UnusableAnswer("empty", "the answer is empty")
            case _:
                return paceline.Completion(text=message.content, model="echo")

    async def check(self) -> str | paceline.Finding:
        return paceline.Finding("ok", "provider echo", "it answers")


class Note(BaseModel):
    """An answer."""

    text: str


class NoteStep(paceline.Step):
    """A step."""

    answer = Note

    def prompt(self, subject: paceline.Subject) -> Sequence[paceline.Message]:
        return [paceline.Message("user", subject.concept.name)]


class Research(NoteStep):
    """A step with several calls."""

    needs = ("tutorial",)

    async def make(self, subject: paceline.Subject, ctx: paceline.StepContext) -> BaseModel:
        ctx.tell("searching")
        search = paceline.Tool(name="search", description="Search.", parameters={"type": "object"})
        asked = paceline.Message("user", subject.concept.name)
        said: paceline.Message = await ctx.chat([asked], tools=[search], model=["main", "strong"])
        calls: tuple[paceline.ToolCall, ...] = said.tool_calls
        async with ctx.use("search", units=2) as use:
            key = use.key.get_secret_value() if use.key is not None else len(calls)
        found: list[str] = await ctx.once("found", self.found, model=list[str])
        number: int = await ctx.ask([asked], parse=int)
        note: Note = await ctx.ask([asked], answer=Note)
        return Note(text=f"{key} {found} {number} {note.text} {ctx.problems}")

    async def found(self) -> list[str]:
        return [type(paceline.Use()).__name__]


class Drill(NoteStep):
    """A step with questions and flashcards."""

    def questions(self, answer: BaseModel) -> Sequence[paceline.Question]:
        return [paceline.Question(text="1 + 1?", choices=["1", "2"], right=[1], explanation="")]

    def cards(self, answer: BaseModel) -> Sequence[paceline.Card]:
        return [paceline.Card(front="1 + 1", back="2")]


class Text(paceline.FileExporter):
    """An exporter of one file."""

    suffix = ".txt"

    async def pieces(self, run: paceline.ExportedRun) -> AsyncIterator[str | bytes]:
        for concept in run.concepts:
            yield concept.concept.name
            artifact: paceline.ExportedArtifact
            for artifact in await run.artifacts(concept):
                yield artifact.content


class Texts(paceline.FolderExporter):
    """An exporter of a folder."""

    def names(self, run: paceline.ExportedRun) -> Sequence[str]:
        concepts: Sequence[paceline.ExportedConcept] = run.concepts
        return [f"{concept.file_name}.txt" for concept in concepts]

    async def files(self, run: paceline.ExportedRun) -> AsyncIterator[tuple[str, str | bytes]]:
        for name in self.names(run):
            yield name, b""


class NotEmpty(paceline.Check):
    """A check."""

    async def check(
        self, answer: BaseModel, subject: paceline.Subject, ctx: paceline.StepContext
    ) -> paceline.Checked:
        return paceline.Checked(answer, [] if answer.model_fields_set else ["it is empty"])


class Printer(paceline.Sink):
    """A sink."""

    async def deliver(self, batch: Sequence[paceline.Delivery]) -> Mapping[str, str] | None:
        if not batch:
            raise paceline.SinkUnavailable("no paper", retry_after=60, delivered=[])
        return {one.id: "too long" for one in batch if len(one.readable) > 1000}


class Table(paceline.TransactionalSink):
    """A sink in the artifact's transaction."""

    async def write(self, connection: object, deliveries: Sequence[paceline.Delivery]) -> None:
        return None


def models(settings: paceline.Settings) -> Sequence[paceline.ModelSettings | paceline.StepSettings]:
    return [*settings.models.values(), *settings.steps.values()]


class Queue(paceline.Executor):
    """An executor."""

    def __init__(self, context: paceline.Context) -> None:
        self.context = context
        self.settings: paceline.Settings = context.settings

    async def submit(self, run_id: str) -> None:
        raise paceline.PartUnavailable("no queue") from paceline.PartRejected("no permission")

    async def inspect(self) -> Sequence[paceline.WorkerLoad]:
        return [paceline.WorkerLoad(name="one", active=(), reserved=(), concurrency=8)]

    def serve(self, *, concurrency: int | None = None) -> int:
        return paceline.run_stoppable(self._serve())

    async def _serve(self) -> int:
        async with self.context.host().worker() as worker:
            opened: paceline.RunWorker = worker
            return await worker.serve_until_signalled(asyncio.create_task(opened.serve()))


@paceline.hookimpl
def paceline_register_strategies(register: paceline.Register[paceline.Strategy]) -> None:
    register("one", lambda options, context: OneAtATime(), options=NoteOptions, summary="One.")
    register("two", lambda options, context: OneAtATime(), options=paceline.NoOptions, summary="")


@paceline.hookimpl
def paceline_register_exporters(register: paceline.Register[paceline.Exporter]) -> None:
    register("text", lambda _, __: Text(), options=paceline.NoOptions, summary="Text.")
    register("texts", lambda _, __: Texts(), options=paceline.NoOptions, summary="Texts.")


@paceline.hookimpl
def paceline_register_commands(register: paceline.RegisterCommand) -> None:
    register("note", lambda: click.Command("note"), summary="Print a note.")


def settings() -> paceline.Settings:
    return paceline.Settings(
        store=paceline.StoreSettings(pool_size=5),
        redis=paceline.RedisSettings(url=SecretStr("redis://localhost")),
        provider=paceline.ProviderSettings(model="m"),
        web=paceline.WebSettings(port=0),
    )


def a_roadmap(path: Path) -> paceline.Roadmap:
    concept = paceline.Concept(concept_id="c", name="C")
    module = paceline.Module(module_id="m", name="M", concepts=[concept])
    stage = paceline.Stage(stage_id="s", name="S", modules=[module])
    paceline.parse_roadmap({"stages": [stage.model_dump()]}, source="here")
    return paceline.load_roadmap(path)


async def generate(path: Path) -> AsyncIterator[paceline.Event]:
    app = paceline.App.load()
    client: paceline.Client
    async with app.client() as client:
        run: paceline.Run
        run, _ = await client.submit(
            a_roadmap(path),
            share=paceline.Share("acme", 2.0),
            context={"level": "beginner"},
            steps=["tutorial"],
            only=["first-module"],
        )
        run, _ = await client.resume(run.run_id, steps=["quiz"], also=[])
        tenant: paceline.Client = client.for_tenant("acme")
        async for event in tenant.follow(run.run_id):
            yield event
        artifact: paceline.Artifact
        for artifact in await client.artifacts(run.run_id):
            use(artifact.content)
        run, places = await client.revise(run.run_id, [("c", "quiz")], instruction="shorter")
        restored: paceline.Artifact = await client.restore(run.run_id, "c", "quiz", version=1)
        use(places, restored.version)


async def work(app: paceline.App) -> None:
    worker: paceline.Worker
    async with app.worker(concurrency=2) as worker:
        await worker.serve()


async def forecast(app: paceline.App, roadmap: paceline.Roadmap) -> float:
    found: paceline.Forecast = await app.plan([roadmap], workers=2, seed=1)
    return found.makespan.p90


async def parts(
    store: paceline.Store,
    bus: paceline.EventBus,
    ledger: paceline.Ledger,
    telemetry: paceline.Telemetry,
) -> None:
    claim: paceline.Claim | None = await store.claim("run", "worker", lease=30)
    states: Sequence[paceline.ConceptState] = await store.concepts("run")
    grant: paceline.Grant = await ledger.sync(
        "limit",
        quota=paceline.Quota(concurrency=8),
        holder="me",
        requests=[paceline.LeaseRequest("flow", [100])],
        releases=[paceline.LeaseRelease("lease", tokens=7)],
    )
    leases: tuple[paceline.Lease, ...] = grant.leases
    with telemetry.submit() as span:
        used: paceline.Span = span
    requests: Sequence[paceline.Revision] = await store.revisions("run")
    replaced = paceline.Replaced(revision=requests[0].number)
    use(claim, states, leases, used, bus.shared, replaced)


def exit_code(action: str) -> int:
    try:
        use(action)
    except (
        paceline.SettingsError,
        paceline.PluginError,
        paceline.RoadmapError,
        paceline.ContextError,
        paceline.RunConflict,
        paceline.KeyReused,
        paceline.RunNotFound,
        paceline.RunPaused,
        paceline.UsageError,
    ) as error:
        return error.exit_code
    except (paceline.DatabaseNotFound, paceline.SchemaVersionError, paceline.BudgetError) as error:
        return error.exit_code
    except paceline.StaleFence as error:
        return error.exit_code
    except (paceline.ProviderError, paceline.PacelineError) as error:
        return error.exit_code
    return 0
