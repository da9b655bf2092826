"""The contract of providers: one LLM attempt."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from paceline.contracts.finding import Finding

JsonSchema = Mapping[str, object]


def estimated_tokens(text: str) -> int:
    """Tokens of a text, if about four bytes of UTF-8 make one."""
    return len(text.encode("utf-8", "replace")) // 4


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """What one attempt asks for.

    Attributes:
        messages: the prompt.
        step: the step's name; also the name of the schema.
        schema: JSON schema of the answer; ``None`` asks for plain text.
        max_tokens: bound of the answer, in tokens.
    """

    messages: tuple[Message, ...]
    step: str
    schema: JsonSchema | None = None
    max_tokens: int = 4096

    def estimated_tokens(self) -> int:
        """Prompt plus longest answer, in tokens: what a quota charges at admission.

        The estimate is corrected by the usage that the answer reports.
        """
        return self.estimated_prompt_tokens() + self.max_tokens

    def estimated_prompt_tokens(self) -> int:
        """The prompt in tokens, if about four bytes of UTF-8 make one."""
        return estimated_tokens("".join(message.content for message in self.messages))


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
        request_id: the provider's id of the call, for its support.
        rate_limit_headers: the provider's rate-limit headers, lower case.
    """

    text: str
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
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
                ``provider.patience`` and counts as none.
            RequestTooLong: prompt and answer do not fit the model's context.
            Fatal: no further attempt of this call can succeed.
            AccountExhausted: no credit, or the quota of the day is used up.
            ProviderUnusable: no call at all can succeed.
            UnusableAnswer: it answered, but with a refusal, nothing, or half an answer.
        """

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
