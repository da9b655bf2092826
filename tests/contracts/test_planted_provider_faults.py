"""The suite of providers catches planted faults by name."""

import pytest
from paceline.contracts.provider import Completion, CompletionRequest, Provider
from paceline.errors import Fatal, PacelineError, ProviderUnusable, Refused, Transient
from paceline.testing.contracts import ProviderContract
from paceline.testing.contracts.provider import Behaviour

from tests.support.suite_runs import complaint
from tests.testing.test_scripted import TestScripted

KEY = "sk-planted-0123456789"


class Around(Provider):
    """Does as the one inside; the others change what comes of it."""

    key = "planted:model"

    def __init__(self, inside: Provider) -> None:
        self.inside = inside

    async def complete(self, request: CompletionRequest) -> Completion:
        return await self.inside.complete(request)


class HidesRefusals(Around):
    """Tries again by itself."""

    async def complete(self, request: CompletionRequest) -> Completion:
        try:
            return await self.inside.complete(request)
        except Refused:
            return await self.inside.complete(request)


class DropsTheTime(Around):
    """Forgets when to come again."""

    async def complete(self, request: CompletionRequest) -> Completion:
        try:
            return await self.inside.complete(request)
        except Refused as error:
            raise Refused(str(error)) from None


class LeaksItsKey(Around):
    """Repeats what was sent, and keeps it in the cause."""

    async def complete(self, request: CompletionRequest) -> Completion:
        try:
            return await self.inside.complete(request)
        except ProviderUnusable as error:
            raise ProviderUnusable("the key was not accepted") from ValueError(f"{error}: {KEY}")


class HopesForEver(Around):
    """Takes what can never succeed for something that may."""

    async def complete(self, request: CompletionRequest) -> Completion:
        try:
            return await self.inside.complete(request)
        except Fatal as error:
            raise Transient(str(error)) from None


class LetsStrangersThrough(Around):
    """Raises what its client raises."""

    async def complete(self, request: CompletionRequest) -> Completion:
        try:
            return await self.inside.complete(request)
        except PacelineError as error:
            raise ConnectionError(str(error)) from None


class SwallowsCancellations(Around):
    """Tells of a cancellation as of a failure."""

    async def complete(self, request: CompletionRequest) -> Completion:
        try:
            return await self.inside.complete(request)
        except BaseException as error:  # noqa: BLE001
            raise Transient(repr(error)) from None


def suite_of(made: type[Around]) -> type[ProviderContract]:
    """What an author would write."""

    class Suite(TestScripted):
        secret = KEY

        async def provider(self, does: Behaviour) -> Provider:
            return made(await super().provider(does))

    return Suite


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        (HidesRefusals, "test_a_refusal_is_not_hidden_by_retries", "hidden retry"),
        (DropsTheTime, "test_a_refusal_is_told_with_its_time", "dropped time"),
        (LeaksItsKey, "test_a_client_that_is_barred_cannot_use_the_provider", "leaked key"),
        (HopesForEver, "test_a_call_that_is_rejected_is_fatal", "wrong name"),
        (LetsStrangersThrough, "test_a_failure_in_passing_is_transient", "strange error"),
        (
            SwallowsCancellations,
            "test_a_cancelled_call_frees_everything_at_once",
            "swallowed cancellation",
        ),
    ],
)
def test_a_provider_with_a_fault_is_caught(made: type[Around], test: str, says: str) -> None:
    text = complaint(suite_of(made), test)
    assert says in text
    assert KEY not in text


def test_tests_of_faults_that_cannot_be_provoked_are_omitted() -> None:
    class Plain(ProviderContract):
        pass

    assert getattr(Plain, "test_a_refusal_is_told_with_its_time") is None  # noqa: B009
    assert callable(getattr(TestScripted, "test_a_refusal_is_told_with_its_time"))  # noqa: B009
