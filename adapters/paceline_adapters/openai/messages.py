"""Messages and tools in the form of chat completions, and the tool calls of an answer."""

from collections.abc import Mapping, Sequence
from typing import cast

from paceline import Message, Tool, ToolCall, UnusableAnswer
from paceline.contracts.provider import IMAGE_TOKENS

Json = dict[str, object]

#: Tool calls of one answer that are read.
MOST_CALLS = 64
#: Characters of a name or an id.
_LONGEST_NAME = 200


def put_messages(messages: Sequence[Message], *, system: bool) -> list[Json]:
    """The messages; neighbours of one role are joined, because some models' templates need it.

    Args:
        messages: the prompt.
        system: whether the server knows the role ``system``; else its text is the user's.
    """
    put: list[Json] = []
    for message in messages:
        one = _put(message, system=system)
        joinable = one.keys() == {"role", "content"} and isinstance(one["content"], str)
        if joinable and put and put[-1].keys() == {"role", "content"}:
            before = put[-1]
            if before["role"] == one["role"] and isinstance(before["content"], str):
                put[-1] = {**one, "content": f"{before['content']}\n\n{one['content']}"}
                continue
        put.append(one)
    return put


def _put(message: Message, *, system: bool) -> Json:
    role = message.role if system or message.role != "system" else "user"
    one: Json = {"role": role, "content": message.content}
    if message.images:
        texts: list[Json] = [{"type": "text", "text": message.content}] if message.content else []
        images = [{"type": "image_url", "image_url": {"url": url}} for url in message.images]
        one["content"] = [*texts, *images]
    if message.tool_calls:
        one["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        one["tool_call_id"] = message.tool_call_id
    return one


def size_of(message: Json) -> int:
    """Bytes of what is paid by length; an image counts as ``IMAGE_TOKENS``."""
    content = message["content"]
    if isinstance(content, str):
        size = len(content.encode())
    else:
        parts = cast("list[Json]", content)
        size = sum(
            len(str(part["text"]).encode()) if part["type"] == "text" else 4 * IMAGE_TOKENS
            for part in parts
        )
    return size + (len(str(message["tool_calls"]).encode()) if "tool_calls" in message else 0)


def put_tool(tool: Tool) -> Json:
    """A tool that the model may call."""
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}


def read_tool_calls(message: Mapping[str, object]) -> tuple[ToolCall, ...]:
    """The tool calls of an answer.

    Raises:
        UnusableAnswer: a call has no name, or there are too many.
    """
    listed = message.get("tool_calls")
    calls = cast("list[object]", listed) if isinstance(listed, list) else []
    if len(calls) > MOST_CALLS:
        raise UnusableAnswer(
            "malformed", f"it calls {len(calls)} tools at once, at most {MOST_CALLS} are allowed"
        )
    return tuple(_read(call, place) for place, call in enumerate(calls))


def _read(call: object, place: int) -> ToolCall:
    fields = cast("Json", call) if isinstance(call, dict) else {}
    function = fields.get("function")
    inner = cast("Json", function) if isinstance(function, dict) else {}
    name, arguments, call_id = inner.get("name"), inner.get("arguments"), fields.get("id")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise UnusableAnswer("malformed", "a tool call has no name")
    known = isinstance(call_id, str) and call_id
    return ToolCall(
        call_id=str(call_id)[:_LONGEST_NAME] if known else f"call-{place}",
        name=name,
        arguments=arguments if isinstance(arguments, str) else "{}",
    )
