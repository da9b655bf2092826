"""Which error a provider raises for each fault. The error decides whether it is retried."""

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
    """The right error for each fault, after one attempt."""

    async def named(
        self,
        does: Behaviour,
        kind: type[ProviderError],
        why: str,
        *,
        never: type[ProviderError] | None = None,
    ) -> ProviderError:
        """The error of one call. It must be a `kind`, but not a `never`."""
        provider = await self.made(does)
        error = await self.fault(provider, does)
        wrong = not isinstance(error, kind) or (never is not None and isinstance(error, never))
        assert not wrong, (
            f"wrong name: with {does=} `complete` raised {type(error).__name__} ({error}); raise "
            f"{kind.__name__}: {why}"
        )
        text = str(error)
        assert text.strip(), f"{type(error).__name__} has no message"
        self.keeps_secret(repr(provider), "the provider")
        return error

    def one_attempt(self, does: Behaviour) -> None:
        """Check that one call sent one request, because strategies must see each attempt."""
        number = self.attempts() if self.counts else 1
        assert number == 1, (
            f"hidden retry: with {does=} one `complete` sent {number} requests; disable retries of "
            "the client library, so that strategies see each attempt"
        )

    @when("refuses")
    @scenario
    async def test_a_refusal_is_told_with_its_time(self) -> None:
        """Dropped time: strategies wait for as long as the server requests."""
        error = await self.named("refuses", Refused, "strategies slow down when they see it")
        assert isinstance(error, Refused)
        assert error.retry_after == self.retry_after, (
            f"dropped time: the server requested a wait of {self.retry_after} s, but "
            f"`retry_after` is {error.retry_after}"
        )

    @when("refuses")
    @scenario
    async def test_a_refusal_is_not_hidden_by_retries(self) -> None:
        """Hidden retry: the caller decides whether to retry."""
        await self.fault(await self.made("refuses"), "refuses")
        self.one_attempt("refuses")

    @when("fails")
    @scenario
    async def test_a_failure_in_passing_is_transient(self) -> None:
        """It counts as an attempt, and a retry may succeed."""
        why = "the call may have been billed, and a retry may succeed"
        await self.named("fails", Transient, why, never=Unreachable)
        self.one_attempt("fails")

    @when("away")
    @scenario
    async def test_a_server_that_is_away_is_unreachable(self) -> None:
        """It is retried until ``provider.patience`` is over, because no call was billed."""
        await self.named("away", Unreachable, "it was not billed and counts as no attempt")

    @when("rejects")
    @scenario
    async def test_a_call_that_is_rejected_is_fatal(self) -> None:
        """The call is not retried; others continue."""
        why = "no retry of this call can succeed, but other calls can"
        await self.named("rejects", Fatal, why, never=ProviderUnusable)

    @when("bars")
    @scenario
    async def test_a_client_that_is_barred_cannot_use_the_provider(self) -> None:
        """The run ends, because every concept would fail."""
        await self.named("bars", ProviderUnusable, "no call of any concept can succeed")

    @when("babbles")
    @scenario
    async def test_an_answer_that_is_none_is_unusable(self) -> None:
        """The call was billed; the next prompt asks the model to repair the answer."""
        error = await self.named("babbles", UnusableAnswer, "it was billed and can be repaired")
        assert isinstance(error, UnusableAnswer)
        assert error.kind in _KINDS, f"`kind` must be one of {_KINDS}, got {error.kind!r}"
        self.one_attempt("babbles")
