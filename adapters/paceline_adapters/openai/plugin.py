"""Offers the provider ``openai``."""

from paceline.context import Context
from paceline.hookspecs import Register, hookimpl
from paceline.options import NoOptions
from paceline.provider import Provider


def _make(_: NoOptions, context: Context) -> Provider:
    from paceline_adapters.openai.provider import OpenAIProvider

    return OpenAIProvider(context.settings.provider)


@hookimpl
def paceline_register_providers(register: Register[Provider]) -> None:
    """Offer it."""
    register(
        "openai",
        _make,
        options=NoOptions,
        summary="OpenAI, or any server with its chat completions API.",
    )
