"""What a provider makes of each fault: who asks again, and when, follows from its name."""

from paceline.errors import (
    Fatal,
    ProviderError,
    ProviderUnusable,
    Refused,
    Transient,
    Unreachable,
    UnusableAnswer,
)
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.provider.base import Behaviour, ProviderScenarios

_KINDS = ("refusal", "truncated", "empty", "malformed")


class ProviderFaults(ProviderScenarios):
    """Each fault by its name, after one attempt."""

    async def named(
        self,
        does: Behaviour,
        kind: type[ProviderError],
        why: str,
        *,
        never: type[ProviderError] | None = None,
    ) -> ProviderError:
        """The error of one call, which must be of that kind and of one attempt."""
        provider = await self.made(does)
        error = await self.fault(provider, does)
        wrong = not isinstance(error, kind) or (never is not None and isinstance(error, never))
        assert not wrong, (
            f"wrong name: where the server {does}, `complete` raised {type(error).__name__} "
            f"({error}); raise {kind.__name__}: {why}"
        )
        text = str(error)
        assert text.strip(), f"{type(error).__name__} says nothing"
        self.keeps_secret(repr(provider), "the provider")
        return error

    def one_attempt(self, does: Behaviour) -> None:
        """A provider's own retries pass no strategy."""
        number = self.attempts() if self.counts else 1
        assert number == 1, (
            f"hidden retry: where the server {does}, one `complete` made {number} requests; "
            "switch the client's own retries off, so that the strategy hears of each attempt"
        )

    @when("refuses")
    @scenario
    async def test_a_refusal_is_told_with_its_time(self) -> None:
        """Dropped time: strategies wait for as long as the server asks."""
        error = await self.named("refuses", Refused, "the strategy slows down by it")
        assert isinstance(error, Refused)
        assert error.retry_after == self.retry_after, (
            f"dropped time: the server asks to wait for {self.retry_after} s, and `retry_after` "
            f"is {error.retry_after}"
        )

    @when("refuses")
    @scenario
    async def test_a_refusal_is_not_hidden_by_retries(self) -> None:
        """Hidden retry: one attempt, then the caller decides."""
        await self.fault(await self.made("refuses"), "refuses")
        self.one_attempt("refuses")

    @when("fails")
    @scenario
    async def test_a_failure_in_passing_is_transient(self) -> None:
        """It counts as an attempt, and another may succeed."""
        why = "it was paid perhaps, and another attempt may succeed"
        await self.named("fails", Transient, why, never=Unreachable)
        self.one_attempt("fails")

    @when("away")
    @scenario
    async def test_a_server_that_is_away_is_unreachable(self) -> None:
        """Nothing was paid: it is tried for as long as patience lasts."""
        await self.named("away", Unreachable, "nothing was paid, so it counts as no attempt")

    @when("rejects")
    @scenario
    async def test_a_call_that_is_rejected_is_fatal(self) -> None:
        """This call alone is hopeless, and nobody tries it again."""
        why = "no further attempt of this call can succeed, others can"
        await self.named("rejects", Fatal, why, never=ProviderUnusable)

    @when("bars")
    @scenario
    async def test_a_client_that_is_barred_cannot_use_the_provider(self) -> None:
        """Every call is hopeless: the run ends instead of failing concept by concept."""
        await self.named("bars", ProviderUnusable, "no call of any concept can succeed")

    @when("babbles")
    @scenario
    async def test_an_answer_that_is_none_is_unusable(self) -> None:
        """It was paid: the model is told what was wrong, and repairs it."""
        error = await self.named("babbles", UnusableAnswer, "it was paid, and may be repaired")
        assert isinstance(error, UnusableAnswer)
        assert error.kind in _KINDS, f"`kind` is {error.kind!r}; it is one of {_KINDS}"
        self.one_attempt("babbles")
