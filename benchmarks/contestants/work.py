"""Common code of the contestants: the client, the prompts, one call, the rows.

Prompts and answer models come from paceline's steps. Its pipeline, provider and store are not used.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast
from uuid import uuid4

from openai import AsyncOpenAI, DefaultAioHttpClient
from openai.types.chat import ChatCompletion
from paceline import Roadmap, Step, Subject
from paceline.steps.answers import parse_answer
from paceline.steps.quiz import Quiz
from paceline.steps.resources import Resources
from paceline.steps.templates import load_prompt
from paceline.steps.tutorial import Tutorial
from paceline_adapters.bench.protocol import RoundSpec
from paceline_adapters.openai.schema import strict_schema
from paceline_adapters.sql.columns import now
from paceline_adapters.sql.tables import artifacts, metadata, runs
from sqlalchemy import event, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

STEPS: Mapping[str, Step] = {
    kind.name: kind(load_prompt(kind.name)) for kind in (Tutorial, Resources, Quiz)
}
#: Retries of the client; a hand-written program leaves retries to it.
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
    """The answer to a call.

    Attributes:
        step: name of the step.
        text: text of the answer.
        completion: the whole response.
        seconds: duration of the call.
    """

    step: str
    text: str
    completion: ChatCompletion
    seconds: float


def make_client(base_url: str, api_key: str) -> AsyncOpenAI:
    """The client with its fastest transport."""
    return AsyncOpenAI(
        base_url=base_url,
        api_key=api_key,
        max_retries=RETRIES,
        http_client=DefaultAioHttpClient(),
    )


def subjects(roadmap: Roadmap) -> Iterator[Subject]:
    """The subjects of all concepts; ``earlier`` is filled in later."""
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
    started = perf_counter()
    completion = await client.chat.completions.create(
        model=model,
        messages=cast("Any", prompt),
        max_tokens=STEPS[step].max_tokens,
        response_format=_FORMATS[step],
    )
    text = completion.choices[0].message.content or ""
    return Answer(step, text, completion, perf_counter() - started)


def validate(answer: Answer, subject: Subject) -> dict[str, object]:
    """Validate an answer, add it to the prompts of the next steps, and return its row.

    Raises:
        UnusableAnswer: it does not match the model of its step.
    """
    value = parse_answer(STEPS[answer.step].answer, answer.text)
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


insert_artifact = insert(artifacts).values(created_at=now())


@asynccontextmanager
async def open_database(spec: RoundSpec) -> AsyncGenerator[AsyncEngine]:
    """Open the database with a pool of the usual size, and create the tables."""
    sqlite = spec.store_url.startswith("sqlite")
    engine = create_async_engine(
        spec.store_url,
        pool_size=int(spec.settings.get("store.pool_size", 10)),
        max_overflow=int(spec.settings.get("store.max_overflow", 20)),
        pool_timeout=float(spec.settings.get("store.pool_timeout", 60)),
        # SQLite has one writer; others must wait instead of failing.
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


async def insert_run(connection: AsyncConnection, roadmap: Roadmap) -> str:
    """Insert the row of a run; returns its id."""
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
