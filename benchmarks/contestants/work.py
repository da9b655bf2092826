"""What all contestants do alike: the client, the prompts, one call, the rows.

Prompts and answer models are paceline's own steps; nothing of its pipeline, provider or store
runs here.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast
from uuid import uuid4

from openai import AsyncOpenAI, DefaultAioHttpClient
from openai.types.chat import ChatCompletion
from paceline.contracts.step import Step, Subject
from paceline.roadmaps.model import Roadmap
from paceline.steps.answers import parse_answer
from paceline.steps.quiz import Quiz
from paceline.steps.resources import Resources
from paceline.steps.templates import load_template
from paceline.steps.tutorial import Tutorial
from paceline_adapters.bench.protocol import RoundSpec
from paceline_adapters.openai.schema import strict_schema
from paceline_adapters.sql.columns import now
from paceline_adapters.sql.tables import artifacts, metadata, runs
from sqlalchemy import event, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

STEPS: Mapping[str, Step] = {
    kind.name: kind(load_template(kind.name)) for kind in (Tutorial, Resources, Quiz)
}
#: A hand-written program leaves retrying to the client, as often as a quota makes it wait.
RETRIES = 20

_FORMATS: Mapping[str, Any] = {
    name: {
        "type": "json_schema",
        "json_schema": {
            "name": name,
            "schema": strict_schema(step.answer.model_json_schema()),
            "strict": True,
        },
    }
    for name, step in STEPS.items()
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call brought.

    Attributes:
        step: the step that it is of.
        text: what the model wrote.
        completion: all of the answer.
        seconds: how long the call took.
    """

    step: str
    text: str
    completion: ChatCompletion
    seconds: float


def make_client(base_url: str, api_key: str) -> AsyncOpenAI:
    """The client, with the transport that costs least."""
    return AsyncOpenAI(
        base_url=base_url,
        api_key=api_key,
        max_retries=RETRIES,
        http_client=DefaultAioHttpClient(),
    )


def subjects(roadmap: Roadmap) -> Iterator[Subject]:
    """What the prompts of each concept are about; ``earlier`` is to be filled in."""
    names = {concept.concept_id: concept.name for _, _, concept in roadmap.concepts()}
    for stage, module, concept in roadmap.concepts():
        yield Subject(
            roadmap_id=roadmap.roadmap_id,
            roadmap_title=roadmap.title,
            stage=stage.name,
            module=module.name,
            concept=concept,
            prerequisites=[names[needed] for needed in concept.prerequisites],
            earlier={},
        )


async def ask(client: AsyncOpenAI, model: str, subject: Subject, step: str) -> Answer:
    """Make one call."""
    prompt = [
        {"role": message.role, "content": message.content}
        for message in STEPS[step].prompt(subject)
    ]
    began = perf_counter()
    completion = await client.chat.completions.create(
        model=model,
        messages=cast("Any", prompt),
        max_tokens=STEPS[step].max_tokens,
        response_format=_FORMATS[step],
    )
    text = completion.choices[0].message.content or ""
    return Answer(step, text, completion, perf_counter() - began)


def validate(answer: Answer, subject: Subject) -> dict[str, object]:
    """Check an answer, keep it for the prompts of the next steps, and make its row.

    Raises:
        UnusableAnswer: it does not fit its step's model.
    """
    value = parse_answer(STEPS[answer.step], answer.text)
    cast("dict[str, object]", subject.earlier)[answer.step] = value
    usage = answer.completion.usage
    return {
        "roadmap_id": subject.roadmap_id,
        "concept_id": subject.concept.concept_id,
        "step": answer.step,
        "content": value.model_dump_json(),
        "model": answer.completion.model,
        "prompt_tokens": usage.prompt_tokens if usage else 0,
        "completion_tokens": usage.completion_tokens if usage else 0,
        "seconds": answer.seconds,
        "attempts": 1,
    }


# -- persistence -----------------------------------------------------------------------------

insert_artifact = insert(artifacts).values(created_at=now())


@asynccontextmanager
async def open_database(order: RoundSpec) -> AsyncGenerator[AsyncEngine]:
    """The database with a pool of the usual size, and the tables in it."""
    sqlite = order.store_url.startswith("sqlite")
    engine = create_async_engine(
        order.store_url,
        pool_size=int(order.settings.get("store.pool_size", 10)),
        max_overflow=int(order.settings.get("store.max_overflow", 20)),
        pool_timeout=float(order.settings.get("store.pool_timeout", 60)),
        # SQLite has one writer: the others shall wait for it, not fail.
        connect_args={"timeout": 60} if sqlite else {},
    )
    if sqlite:

        @event.listens_for(engine.sync_engine, "connect")
        def connected(connection: Any, _entry: object) -> None:
            connection.execute("PRAGMA journal_mode=WAL")

    try:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        yield engine
    finally:
        await engine.dispose()


async def begin_run(connection: AsyncConnection, roadmap: Roadmap) -> str:
    """Write the row that artifacts refer to; returns its id."""
    run_id = uuid4().hex
    row = {
        "run_id": run_id,
        "roadmap_id": roadmap.roadmap_id,
        "generation": 1,
        "status": "running",
        "title": roadmap.title,
        "content_hash": "",
        "executor": "by hand",
        "total": roadmap.concept_count(),
        "fence": 1,
        "cancel_requested": False,
        "takeovers": 0,
        "artifacts_at_claim": 0,
    }
    await connection.execute(insert(runs).values(created_at=now(), started_at=now()), row)
    return run_id
