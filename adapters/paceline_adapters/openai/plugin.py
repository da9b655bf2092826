"""The OpenAI provider as a plugin."""

from paceline import Context, Options, Provider, Register, hookimpl
from paceline.process.certificates import check_client_files
from pydantic import Field, JsonValue, field_validator
from pydantic_core import PydanticCustomError

#: Fields of a request that the prompt, the step and the settings decide.
_OURS = frozenset({"messages", "model", "response_format", "stream", "n", "temperature"})


class OpenAIOptions(Options):
    """Options of the provider ``openai``."""

    body: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue], max_length=100)
    """Fields added to each request as they are, for what one server or model wants:
    ``reasoning_effort``, ``seed``, ``service_tier``; ``max_completion_tokens`` or ``max_tokens``
    replaces the step's own bound, which models that think before they write may need."""

    @field_validator("body")
    @classmethod
    def _leaves_ours_alone(cls, body: dict[str, JsonValue]) -> dict[str, JsonValue]:
        taken = sorted(_OURS & body.keys())
        if taken:
            raise PydanticCustomError(
                "body", "may not hold {taken}: paceline sets them", {"taken": ", ".join(taken)}
            )
        return body


def _make(options: OpenAIOptions, context: Context) -> Provider:
    check_client_files()  # before aiohttp is imported, which reads them
    from paceline_adapters.openai.provider import OpenAIProvider

    return OpenAIProvider(context.settings.provider, body=options.body)


@hookimpl
def paceline_register_providers(register: Register[Provider]) -> None:
    """Offer ``openai``."""
    register(
        "openai",
        _make,
        options=OpenAIOptions,
        summary="OpenAI, or any server that speaks its chat completions (provider.base_url).",
    )
