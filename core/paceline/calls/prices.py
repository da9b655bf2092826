"""Prices of well-known models, for models without a price in the settings."""

import os
from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import version

from paceline.settings.model import MAIN_MODEL, ProviderSettings, Settings
from paceline.settings.paths import join_key

#: Tokens of a sample call: prices may be higher for long prompts.
_TOKENS = 1000
#: The currency of the table.
_CURRENCY = "USD"
_SETTINGS = "the settings"
_PRICES = ("prompt_price", "cached_prompt_price", "completion_price")


def with_price(settings: ProviderSettings) -> tuple[ProviderSettings, str]:
    """Settings of a model with its price, and where the price is from; empty if it has none.

    The table is asked only if the settings have no price, the extra ``prices`` is installed, and
    the currency is that of the table.
    """
    if settings.prompt_price is not None and settings.completion_price is not None:
        return settings, _SETTINGS
    unset = settings.prompt_price is None and settings.completion_price is None
    if not unset or settings.currency != _CURRENCY or settings.name != "openai":
        return settings, ""
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return settings, ""
    url = settings.base_url or os.environ.get("OPENAI_BASE_URL") or None

    def price(usage: Usage) -> float:
        if url is None:
            found = calc_price(usage, settings.model, provider_id="openai")
        else:
            found = calc_price(usage, settings.model, provider_api_url=url)
        return float(found.total_price * Decimal(1_000_000) / Decimal(_TOKENS))

    try:
        prices = {
            "prompt_price": price(Usage(input_tokens=_TOKENS)),
            "completion_price": price(Usage(output_tokens=_TOKENS)),
        }
        if settings.cached_prompt_price is None:
            cached = Usage(input_tokens=_TOKENS, cache_read_tokens=_TOKENS)
            prices["cached_prompt_price"] = price(cached)
    except LookupError:
        return settings, ""
    return settings.model_copy(update=prices), f"genai-prices {version('genai-prices')}"


def prices_from_elsewhere(settings: Settings) -> Mapping[str, tuple[float, str]]:
    """Prices of models that are not set in the model's own section, by the key that would set it.

    Each has its origin: the key in ``[provider]``, or the table with its version.
    """
    found: dict[str, tuple[float, str]] = {}
    for name in sorted({MAIN_MODEL, *settings.models}):
        own = settings.models.get(name, settings.provider)
        section = join_key(["models", name]) if name in settings.models else "provider"
        used, origin = with_price(settings.model(name))
        for field in _PRICES:
            price = getattr(used, field)
            if price is not None and getattr(own, field) is None:
                from_ = f"provider.{field}" if origin in ("", _SETTINGS) else origin
                found[f"{section}.{field}"] = (price, from_)
    return found


def describe_price(settings: ProviderSettings, origin: str) -> str:
    """A price and its origin in one line."""
    return (
        f"{settings.prompt_price:g} and {settings.completion_price:g} {settings.currency} for a "
        f"million prompt and completion tokens, from {origin}"
    )
