"""OpenAI's wire format."""

import io
import json
from typing import Any

import openai
import pytest
from paceline.testing.virtual_time import real_time

from tests.support.simulator_clients import QUIZ, body, content, record, simulator, wants


@real_time
async def test_the_real_client_gets_an_answer() -> None:
    async with simulator() as clients:
        answer = await clients.ask("Concept: Go channels")
        assert answer.object == "chat.completion"
        assert answer.model == "gpt-4o-mini"
        assert answer.choices[0].finish_reason == "stop"
        assert "Go channels" in content(answer)
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == 5
        assert answer.usage.completion_tokens == -(-len(content(answer).encode()) // 4)


@real_time
async def test_a_stream_has_the_same_content_and_ends_with_the_usage() -> None:
    async with simulator() as clients:
        whole = await clients.ask("Concept: 递归")
        clients.server.reset()
        stream = await clients.openai.chat.completions.create(
            **body("Concept: 递归", stream=True, stream_options={"include_usage": True})
        )
        chunks = [chunk async for chunk in stream]
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        assert deltas[0].role == "assistant"
        assert "".join(delta.content or "" for delta in deltas) == content(whole)
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage == whole.usage
        assert all(chunk.usage is None for chunk in chunks[:-1])


@real_time
async def test_every_response_has_its_id_and_duration() -> None:
    async with simulator() as clients:
        raw = await clients.openai.chat.completions.with_raw_response.create(**body())
        assert raw.headers["x-request-id"].startswith("req_")
        assert int(raw.headers["openai-processing-ms"]) >= 0
        with pytest.raises(openai.NotFoundError) as caught:
            await clients.ask(model="gpt-9")
        assert caught.value.request_id is not None
        assert caught.value.request_id != raw.headers["x-request-id"]


@real_time
async def test_only_listed_models_are_available() -> None:
    async with simulator(models=("small", "org/large")) as clients:
        assert [model.id async for model in clients.openai.models.list()] == [
            "small",
            "org/large",
        ]
        url = f"{clients.server.base_url}/models/org/large"
        async with clients.http.get(url) as found:
            assert (await found.json())["id"] == "org/large"
        with pytest.raises(openai.NotFoundError) as caught:
            await clients.ask(model="gpt-4o")
        assert caught.value.code == "model_not_found"
        with pytest.raises(openai.NotFoundError):
            await clients.openai.models.retrieve("gpt-4o")


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        (b"{", None),
        (b'"text"', None),
        (b'{"model": "gpt-4o"}', "messages"),
        (b'{"model": "gpt-4o", "messages": []}', "messages"),
        (json.dumps(body(stream="perhaps")).encode(), "stream"),
        (json.dumps(body(max_tokens=0)).encode(), "max_tokens"),
        (json.dumps(body(n=2)).encode(), "n"),
        (json.dumps(body(stream_options={})).encode(), "stream_options"),
        (
            json.dumps(body(response_format={"type": "json_schema"})).encode(),
            "response_format.json_schema",
        ),
        (json.dumps(body(response_format={"type": "xml"})).encode(), "response_format.type"),
        (json.dumps(body(response_format={"type": "json_object"})).encode(), "messages"),
        (b"[" * 100_000, None),
        (b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}', None),
    ],
)
@real_time
async def test_a_malformed_request_is_answered_400_with_the_parameter(
    sent: bytes, param: str | None
) -> None:
    async with simulator() as clients:
        url = f"{clients.server.base_url}/chat/completions"
        async with clients.http.post(url, data=sent) as response:
            error = (await response.json())["error"]
        assert response.status == 400
        assert error["type"] == "invalid_request_error"
        assert error["param"] == param
        figures = clients.server.figures()
        assert (figures.rejected, figures.requests, figures.paid) == (1, 0, 0)


@real_time
async def test_a_body_that_is_too_large_is_rejected() -> None:
    async with simulator() as clients:
        url = f"{clients.server.base_url}/chat/completions"
        data = io.BytesIO(json.dumps(body("x" * 5_000_000)).encode())
        async with clients.http.post(url, data=data) as response:
            assert response.status == 413
            assert "error" in await response.json()


@real_time
async def test_an_unknown_path_is_an_error_in_the_same_format() -> None:
    async with simulator() as clients:
        async with clients.http.get(f"{clients.server.base_url}/files") as response:
            assert response.status == 404
            assert "GET /v1/files" in (await response.json())["error"]["message"]
        async with clients.http.get(f"{clients.server.base_url}/chat/completions") as response:
            assert response.status == 405


@real_time
async def test_a_wrong_key_is_rejected() -> None:
    async with simulator(api_key="right") as clients:
        with pytest.raises(openai.AuthenticationError) as caught:
            await clients.ask()
        assert caught.value.code == "invalid_api_key"
        assert "right" not in str(caught.value)
        async with clients.http.get(f"{clients.server.root_url}/__paceline/stats") as guarded:
            assert guarded.status == 401
        async with clients.http.get(f"{clients.server.root_url}/healthz") as health:
            assert health.status == 200
        await clients.openai.with_options(api_key="right").chat.completions.create(**body())


@real_time
async def test_without_schema_support_json_mode_works() -> None:
    async with simulator(schema_support=False) as clients:
        with pytest.raises(openai.BadRequestError, match="unsupported 'response_format'"):
            await clients.ask(**wants("quiz"))
        quoted = f"Concept: SQL\nAnswer with JSON that fits {json.dumps(QUIZ)}."
        quiz = await clients.document(quoted, response_format={"type": "json_object"})
        assert quiz["questions"][0]["options"]
        free = await clients.document("Give me some JSON", response_format={"type": "json_object"})
        assert isinstance(free, dict)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {**record(a={"type": "string"}), "required": []},
        {"type": "array", "items": {"type": "string"}},
        record(a={"$ref": "#/$defs/Nowhere"}),
        {**record(a={"$ref": "#/$defs/A"}), "$defs": {"A": record(a={"$ref": "#/$defs/A"})}},
        record(a={"type": "string", "minLength": 10**9}),
        record(a={"type": "array", "items": {"type": "string"}, "minItems": 10**9}),
        record(a={"type": "text"}),
        record(a={"type": "integer", "minimum": "low"}),
        {**record(), "properties": []},
    ],
)
@real_time
async def test_an_unsupported_schema_is_answered_400(schema: dict[str, Any]) -> None:
    async with simulator() as clients:
        with pytest.raises(openai.BadRequestError, match="Invalid schema"):
            await clients.ask(**wants("some", schema))
        figures = clients.server.figures()
        assert (figures.paid, figures.in_flight) == (0, 0)
