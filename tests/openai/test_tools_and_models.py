"""Tool calls, images, and what a model's own settings put into a request."""

import pytest
from paceline import (
    CompletionRequest,
    Message,
    ProviderUnusable,
    Tool,
    ToolCall,
    UnusableAnswer,
)
from paceline.settings.model import ProviderSettings
from paceline.testing.virtual_time import real_time
from paceline_adapters.openai.provider import OpenAIProvider

from tests.support.scripted_llm import asked, asking, completion, fault, reply

pytestmark = pytest.mark.usefixtures("either_way")

SEARCH = Tool(
    name="search",
    description="Search the web.",
    parameters={"type": "object", "properties": {"query": {"type": "string"}}},
)


def call(name: object = "search", arguments: object = '{"query": "x"}') -> dict[str, object]:
    return {
        "id": "call_1",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def chatting(*messages: Message) -> CompletionRequest:
    return CompletionRequest(messages=messages, step="research", tools=(SEARCH,), max_tokens=50)


@real_time
async def test_tools_are_offered_and_their_calls_are_read() -> None:
    called = completion(None, tool_calls=[call()], finish_reason="tool_calls")
    async with asked(reply(called)) as (provider, server):
        answer = await provider.complete(chatting(Message("user", "Find x.")))
    assert answer.tool_calls == (
        ToolCall(call_id="call_1", name="search", arguments='{"query": "x"}'),
    )
    (body,) = server.bodies
    assert body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "search",
                "description": "Search the web.",
                "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
            },
        }
    ]
    assert "response_format" not in body


@real_time
async def test_calls_and_results_are_sent_back_in_order() -> None:
    made = ToolCall(call_id="call_1", name="search", arguments="{}")
    messages = (
        Message("user", "Find x."),
        Message("user", "Now."),
        Message("assistant", "", tool_calls=(made,)),
        Message("tool", "found", tool_call_id="call_1"),
        Message("tool", "more", tool_call_id="call_2"),
    )
    async with asked(reply(completion("It is x."))) as (provider, server):
        answer = await provider.complete(chatting(*messages))
    assert (answer.text, answer.tool_calls) == ("It is x.", ())
    sent = server.bodies[0]["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "tool", "tool"]
    assert sent[0]["content"] == "Find x.\n\nNow."
    assert sent[1]["tool_calls"][0]["function"] == {"name": "search", "arguments": "{}"}
    assert [one["tool_call_id"] for one in sent[2:]] == ["call_1", "call_2"]


@pytest.mark.parametrize(
    "calls", [[call(name=None)], [call()] * 65, [None]], ids=["no name", "too many", "no object"]
)
@real_time
async def test_a_malformed_tool_call_is_an_unusable_answer_that_is_paid(
    calls: list[object],
) -> None:
    wrong = completion(None, tool_calls=calls, finish_reason="tool_calls")
    async with asked(reply(wrong)) as (provider, _):
        with pytest.raises(UnusableAnswer) as error:
            await provider.complete(chatting(Message("user", "Find x.")))
    assert (error.value.prompt_tokens, error.value.completion_tokens) == (11, 7)


@real_time
async def test_images_follow_the_text_of_their_message() -> None:
    image = "https://example.org/a.png"
    request = CompletionRequest(
        messages=(Message("user", "What is this?", images=(image,)),), step="look"
    )
    assert request.estimated_prompt_tokens() > 1000
    async with asked(reply(completion("A cat."))) as (provider, server):
        await provider.complete(request)
    assert server.bodies[0]["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": image}},
    ]


@real_time
async def test_cached_tokens_and_cost_are_read() -> None:
    body = completion() | {
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 64},
            "cost": 0.0125,
        }
    }
    async with asked(reply(body)) as (provider, _):
        answer = await provider.complete(asking())
    assert (answer.cached_prompt_tokens, answer.cost) == (64, 0.0125)
    async with asked(reply(body), currency="EUR") as (provider, _):
        assert (await provider.complete(asking())).cost is None


@real_time
async def test_the_settings_of_a_model_shape_its_requests() -> None:
    settings = {"max_tokens": 40, "temperature": 0.7, "parameters": {"seed": 7, "top_p": 0.9}}
    async with asked(reply(completion()), **settings) as (provider, server):
        await provider.complete(asking())
        await provider.complete(
            CompletionRequest(messages=(Message("user", "x"),), step="s", temperature=0.1)
        )
    first, second = server.bodies
    assert (first["max_tokens"], first["seed"], first["top_p"]) == (40, 7, 0.9)
    assert (first["temperature"], second["temperature"]) == (0.7, 0.1)


@real_time
async def test_a_refused_temperature_of_a_step_is_left_out_from_then_on() -> None:
    refusal = fault(400, "temperature is not supported with this model, only the default is")
    request = CompletionRequest(messages=(Message("user", "x"),), step="s", temperature=0.1)
    async with asked(refusal, reply(completion("ok"))) as (provider, server):
        await provider.complete(request)
        await provider.complete(request)
    assert ["temperature" in body for body in server.bodies] == [True, False, False]


def test_the_variable_of_a_key_is_named_if_it_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ProviderSettings(base_url="http://localhost:1/v1", api_key_env="ACME_KEY")
    with pytest.raises(ProviderUnusable, match="environment variable ACME_KEY"):
        OpenAIProvider(settings)
    monkeypatch.setenv("ACME_KEY", "sk-acme")
    OpenAIProvider(settings)
