"""The contract of providers: one LLM attempt."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from paceline.contracts.finding import Finding

JsonSchema = Mapping[str, object]
#: Sent where no key is set: servers of one's own want a key, and take any.
NO_KEY = "no-key"
#: Estimated tokens of one image in a prompt.
IMAGE_TOKENS = 1000


def estimated_tokens(text: str) -> int:
    """Tokens of a text, if about four bytes of UTF-8 make one."""
    return len(text.encode("utf-8", "replace")) // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the model may ask the step to call.

    Attributes:
        name: letters, digits, ``_`` and ``-``.
        description: what it does and when to call it.
        parameters: JSON schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: JsonSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """The model's request to call a tool.

    Attributes:
        call_id: id of this request; the result carries it.
        name: name of the tool.
        arguments: the arguments as JSON text, as the model wrote them.
    """

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt.

    Attributes:
        role: who says it; ``tool`` for the result of a tool call.
        content: the text.
        images: addresses of images that follow the text, ``https:`` or ``data:``.
        tool_calls: what an ``assistant`` message asks to call.
        tool_call_id: for a ``tool`` message: the id of the tool call that it answers.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    images: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    @property
    def text(self) -> str:
        """Everything in it that is paid by length."""
        calls = "".join(call.name + call.arguments for call in self.tool_calls)
        return self.content + calls


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """What one attempt asks for.

    Attributes:
        messages: the prompt.
        step: the step's name; also the name of the schema.
        schema: JSON schema of the answer; ``None`` asks for plain text.
        max_tokens: bound of the answer, in tokens.
        temperature: sampling temperature; ``None`` uses the one of the model's settings.
        tools: what the model may ask to call instead of answering.
    """

    messages: tuple[Message, ...]
    step: str
    schema: JsonSchema | None = None
    max_tokens: int = 4096
    temperature: float | None = None
    tools: tuple[Tool, ...] = ()

    def estimated_tokens(self) -> int:
        """Prompt plus longest answer, in tokens: what a quota charges at admission.

        The estimate is corrected by the usage that the answer reports.
        """
        return self.estimated_prompt_tokens() + self.max_tokens

    def estimated_prompt_tokens(self) -> int:
        """The prompt in tokens, if about four bytes of UTF-8 make one.

        An image counts as ``IMAGE_TOKENS``.
        """
        if not self.tools and not any(one.images or one.tool_calls for one in self.messages):
            return estimated_tokens("".join([one.content for one in self.messages]))
        text = "".join(message.text for message in self.messages)
        tools = "".join(f"{tool.name}{tool.description}{tool.parameters}" for tool in self.tools)
        images = sum(len(message.images) for message in self.messages)
        return estimated_tokens(text + tools) + IMAGE_TOKENS * images


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A whole answer.

    Attributes:
        text: what the model wrote. If a schema was asked for, it contains the JSON object;
            thoughts, a fence or prose may surround it.
        model: the model that answered, as the provider names it.
        prompt_tokens: tokens of the prompt, as charged.
        completion_tokens: tokens of the answer, as charged; thoughts included.
        estimated: whether the provider did not report the tokens, so they are estimates.
        cached_prompt_tokens: the part of ``prompt_tokens`` that the provider read from its
            cache, and that may have a lower price.
        cost: cost of the call in the currency of the settings, if the provider reports it;
            it replaces the cost by the settings' prices.
        tool_calls: what the model asks to call; then ``text`` may be empty.
        request_id: the provider's id of the call, for its support.
        rate_limit_headers: the provider's rate-limit headers, lower case.
    """

    text: str
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    cached_prompt_tokens: int = 0
    cost: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    request_id: str = ""
    rate_limit_headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Provider(ABC):
    """Answers prompts. Made on a worker's event loop, after the fork, and closed there."""

    #: Provider and model, as ``openai:gpt-4o-mini``: what a quota is counted for.
    key: str

    @abstractmethod
    async def complete(self, request: CompletionRequest) -> Completion:
        """Make one attempt; no retry happens inside.

        Raises:
            Refused: the provider takes no call now.
            Transient: another attempt may succeed.
            Unreachable: the attempt never arrived; it is tried again for as long as
                ``provider.patience``. It counts as none, unless it is charged because its
                connection was cut.
            RequestTooLong: prompt and answer do not fit the model's context.
            Fatal: no further attempt of this call can succeed.
            AccountExhausted: no credit, or the quota of the day is used up.
            ProviderUnusable: no call at all can succeed.
            UnusableAnswer: it answered, but with a refusal, nothing, or half an answer.
        """

    def waits_for(self) -> str | None:
        """Why a call that begins now would wait in this process; ``None`` if it would not.

        A sentence with the setting to change, for ``paceline status`` and the page. A provider
        that limits its own connections says so here, so that no limit is hidden.
        """
        return None

    async def check(self) -> str | Finding:
        """Reach the API without paying, for ``paceline doctor``; empty where that cannot be.

        Returns:
            One line: where it is, and that it knows key and model; or a finding, where it
            answers but calls may fail.

        Raises:
            ProviderError: as ``complete``.
        """
        return ""

    async def close(self) -> None:
        """Close the connections."""
