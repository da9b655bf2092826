"""Prices: the settings come first, then the table."""

import pytest
from paceline.calls.prices import with_price
from paceline.settings.model import ProviderSettings


@pytest.fixture(autouse=True)
def _no_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def test_prices_of_the_settings_come_first() -> None:
    own = ProviderSettings(model="gpt-4o-mini", prompt_price=7, completion_price=8)
    assert with_price(own) == (own, "the settings")


def test_a_well_known_model_has_the_price_of_the_table() -> None:
    priced, origin = with_price(ProviderSettings(model="gpt-4o-mini"))
    assert (priced.prompt_price, priced.completion_price) == (0.15, 0.6)
    assert priced.cached_prompt_price == 0.075
    assert origin.startswith("genai-prices ")


@pytest.mark.parametrize(
    "settings",
    [
        ProviderSettings(model="no-such-model"),
        ProviderSettings(model="gpt-4o-mini", base_url="http://127.0.0.1:1/v1"),
        ProviderSettings(model="gpt-4o-mini", currency="EUR"),
        ProviderSettings(model="gpt-4o-mini", prompt_price=1),
        ProviderSettings(model="gpt-4o-mini", name="mine"),
    ],
)
def test_other_models_have_no_price(settings: ProviderSettings) -> None:
    assert with_price(settings) == (settings, "")


def test_a_server_of_ones_own_has_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert with_price(ProviderSettings(model="gpt-4o-mini"))[1] == ""
