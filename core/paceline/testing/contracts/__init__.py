"""Contract suites: inherit one, say what your part can do, and its tests are yours.

A suite's class attributes are the capabilities that you declare and its methods the parts that
you make; every test that a capability asks for is collected, and no other. Needs the extra
``paceline[testing]``.
"""

import pytest

_SUITES = (
    "check",
    "contract",
    "event_bus",
    "event_bus_machine",
    "executor",
    "ledger",
    "provider",
    "sink",
    "step",
    "store",
    "strategy",
)
# So that a failed comparison shows both sides, as in tests of one's own.
pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in _SUITES))

from paceline.testing.contracts.check import CheckContract  # noqa: E402
from paceline.testing.contracts.contract import Contract  # noqa: E402
from paceline.testing.contracts.event_bus import EventBusContract  # noqa: E402
from paceline.testing.contracts.executor import ExecutorContract  # noqa: E402
from paceline.testing.contracts.ledger import LedgerContract  # noqa: E402
from paceline.testing.contracts.provider import ProviderContract  # noqa: E402
from paceline.testing.contracts.sink import SinkContract  # noqa: E402
from paceline.testing.contracts.step import StepContract  # noqa: E402
from paceline.testing.contracts.store import StoreContract  # noqa: E402
from paceline.testing.contracts.strategy import StrategyContract  # noqa: E402

__all__ = [
    "CheckContract",
    "Contract",
    "EventBusContract",
    "ExecutorContract",
    "LedgerContract",
    "ProviderContract",
    "SinkContract",
    "StepContract",
    "StoreContract",
    "StrategyContract",
]
