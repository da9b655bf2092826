"""The scripted provider keeps the contract of providers, in virtual time."""

from collections.abc import Mapping

from paceline.contracts.provider import CompletionRequest, Provider
from paceline.errors import (
    Fatal,
    ProviderUnusable,
    Refused,
    Transient,
    Unreachable,
    UnusableAnswer,
)
from paceline.testing.contracts import ProviderContract
from paceline.testing.contracts.provider import Behaviour
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer

FAULTS: Mapping[Behaviour, Exception] = {
    "refuses": Refused("later", 7.0),
    "fails": Transient("once more"),
    "away": Unreachable("nobody there"),
    "rejects": Fatal("never"),
    "bars": ProviderUnusable("wrong key"),
    "babbles": UnusableAnswer("empty", "no text"),
}


class TestScripted(ProviderContract):
    virtual = True
    refuses = fails = away = rejects = bars = babbles = hangs = True
    counts = watches = True
    connects = False
    retry_after = 7.0
    made_one: ScriptedProvider

    async def provider(self, does: Behaviour) -> Provider:
        def script(request: CompletionRequest, _: int) -> Reply:
            if does in FAULTS:
                return 0.1, FAULTS[does]
            return (1e6 if does == "hangs" else 1.0), plain_answer(request.step)

        self.made_one = ScriptedProvider(script)
        return self.made_one

    def attempts(self) -> int:
        return len(self.made_one.requests)

    def in_flight(self) -> int:
        return self.made_one.in_flight
