"""The simulator as a model that calls tools."""

import json
from typing import Any

from paceline.testing.virtual_time import real_time
from paceline_adapters.simulator.answer import TOOL_ROUNDS

from tests.support.simulator_clients import TEXT, record, simulator

TOOL: Any = {
    "type": "function",
    "function": {"name": "search", "description": "Search.", "parameters": record(query=TEXT)},
}


@real_time
async def test_it_calls_a_tool_in_the_first_rounds_and_then_answers() -> None:
    async with simulator() as it:
        messages: list[Any] = [{"role": "user", "content": "What is a loop?"}]
        calls: list[Any] = []
        for _ in range(TOOL_ROUNDS + 1):
            done = await it.openai.chat.completions.create(
                model="gpt-4o", messages=messages, tools=[TOOL]
            )
            said = done.choices[0].message
            if not said.tool_calls:
                break
            assert done.choices[0].finish_reason == "tool_calls"
            [call] = said.tool_calls
            calls.append(call)
            messages += [
                said.model_dump(exclude_none=True),
                {"role": "tool", "tool_call_id": call.id, "content": "nothing"},
            ]
    assert said.content
    assert len({call.id for call in calls}) == TOOL_ROUNDS
    assert all(call.function.name == "search" for call in calls)
    assert all(json.loads(call.function.arguments)["query"] for call in calls)
