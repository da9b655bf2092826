"""Shared code of the simulator's tests: real clients and schemas of the steps."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from openai import AsyncOpenAI, DefaultAioHttpClient
from openai.types.chat import ChatCompletion
from paceline_adapters.simulator import SimulatorOptions, SimulatorServer, running

Schema = dict[str, Any]

#: A speed at which no test has to wait.
FAST = 100_000.0


def record(**properties: Any) -> Schema:
    """A schema of an object in OpenAI's strict form."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def many(items: Schema, **bounds: int) -> Schema:
    """A schema of a list."""
    return {"type": "array", "items": items, **bounds}


TEXT: Schema = {"type": "string"}

TUTORIAL = record(
    title=TEXT,
    summary=TEXT,
    sections=many(record(title=TEXT, content=TEXT, kind=TEXT), minItems=2),
    exercises=many(TEXT),
    minutes={"type": "integer", "minimum": 1, "maximum": 600},
)
RESOURCES = record(
    resources=many(record(title=TEXT, url=TEXT, type={"enum": ["article", "video"]}, why=TEXT))
)
QUIZ = {
    **record(questions=many({"$ref": "#/$defs/Question"}, minItems=3, maxItems=8)),
    "$defs": {
        "Question": record(
            question=TEXT,
            answer={"type": "integer", "minimum": 0},
            options=many(TEXT, minItems=2),
            explanation=TEXT,
            difficulty={"enum": ["easy", "medium", "hard"]},
        )
    },
}
STEPS = {"tutorial": TUTORIAL, "resources": RESOURCES, "quiz": QUIZ}


def body(text: str = "Concept: Go channels", **more: Any) -> dict[str, Any]:
    """A request of one user message."""
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def wants(name: str, schema: Schema | None = None, *, strict: bool = True) -> dict[str, Any]:
    """The ``response_format`` for a step, or for a schema of another name."""
    wanted = {"name": name, "schema": schema or STEPS[name], "strict": strict}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


@dataclass(frozen=True)
class Clients:
    """A running simulator, and two ways to reach it."""

    server: SimulatorServer
    openai: AsyncOpenAI
    http: aiohttp.ClientSession

    async def ask(self, text: str = "Concept: Go channels", **more: Any) -> ChatCompletion:
        """Send one request with the real client."""
        answer: Any = await self.openai.chat.completions.create(**body(text, **more))
        assert isinstance(answer, ChatCompletion)
        return answer

    async def document(self, text: str = "Concept: Go channels", **more: Any) -> Any:
        """The JSON of an answer."""
        return json.loads(content(await self.ask(text, **more)))

    def post(self, data: Any, **more: Any) -> Any:
        """Post a request without changes."""
        return self.http.post(f"{self.server.base_url}/chat/completions", json=data, **more)


@asynccontextmanager
async def simulator(speed: float = FAST, **options: Any) -> AsyncGenerator[Clients, None]:
    """Run a simulator on a free port."""
    async with (
        running(SimulatorOptions(speed=speed, **options)) as server,
        AsyncOpenAI(
            base_url=server.base_url,
            api_key="any",
            max_retries=0,
            timeout=30,
            http_client=DefaultAioHttpClient(),
        ) as client,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        yield Clients(server, client, http)


def content(answer: ChatCompletion) -> str:
    """The text of an answer."""
    text = answer.choices[0].message.content
    assert text is not None
    return text
