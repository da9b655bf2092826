"""What an author declares for a provider, and checks that the suite shares."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import ClassVar, Literal, TypeVar

from paceline.contracts.provider import CompletionRequest, Message, Provider
from paceline.contracts.steps.step import Subject
from paceline.errors import ProviderError
from paceline.roadmaps.model import Concept
from paceline.steps.quiz import Quiz
from paceline.steps.templates import load_prompt
from paceline.testing.contracts.contract import Contract

T = TypeVar("T")

#: What the server of a provider under test does with each call.
Behaviour = Literal["answers", "refuses", "fails", "away", "rejects", "bars", "babbles", "hangs"]

#: The step of each request.
STEP = Quiz(load_prompt("quiz"))
#: Seconds between two checks of a condition.
_POLL_INTERVAL = 0.01


def asking(number: int = 0) -> CompletionRequest:
    """A request as a worker makes it, with a built-in step's schema; unique per `number`."""
    concept = Concept(concept_id=f"c{number}", name=f"Lists {number}")
    subject = Subject(
        roadmap_id="roadmap", roadmap_title="Python", stage="S", module="M", concept=concept
    )
    return CompletionRequest(
        messages=tuple(STEP.prompt(subject)),
        step=STEP.name,
        schema=STEP.answer.model_json_schema(),
        max_tokens=STEP.max_tokens,
    )


def asking_for_text() -> CompletionRequest:
    """A request without a schema."""
    return CompletionRequest(messages=(Message("user", "Say yes."),), step="tutorial")


class ProviderScenarios(Contract):
    """How the suite makes providers."""

    virtual: ClassVar[bool] = False
    refuses: ClassVar[bool] = False
    fails: ClassVar[bool] = False
    away: ClassVar[bool] = False
    rejects: ClassVar[bool] = False
    bars: ClassVar[bool] = False
    babbles: ClassVar[bool] = False
    hangs: ClassVar[bool] = False
    counts: ClassVar[bool] = False
    watches: ClassVar[bool] = False
    connects: ClassVar[bool] = True
    retry_after: ClassVar[float | None] = None
    secret: ClassVar[str] = ""
    patience: ClassVar[float] = 30.0

    async def provider(self, does: Behaviour) -> Provider:
        """Make your provider. Called on the event loop.

        The suite closes the provider, and then ``self.opened``. Push onto that what else must
        be closed, such as a server.

        Args:
            does: what the server does with every call.
        """
        raise NotImplementedError(f"{type(self).__name__}.provider() makes the provider to test")

    def attempts(self) -> int:
        """Requests that this scenario's provider has sent. Called if you declare ``counts``."""
        raise NotImplementedError(f"{type(self).__name__}.attempts() counts the requests")

    def in_flight(self) -> int:
        """Calls that the server is processing. Called if you declare ``watches``."""
        raise NotImplementedError(f"{type(self).__name__}.in_flight() counts the calls")

    async def made(self, does: Behaviour) -> Provider:
        """Make a provider that is closed at the end of the scenario."""
        provider = await self.provider(does)
        self.opened.push_async_callback(provider.close)
        return provider

    async def within(self, call: Awaitable[T], why: str) -> T:
        """The result of a call. Fails if it takes longer than ``patience``."""
        bound = asyncio.timeout(self.patience)
        try:
            async with bound:
                return await call
        except TimeoutError:
            if not bound.expired():
                raise
        raise AssertionError(f"{why} (waited {self.patience:g} s)")

    async def until(self, check: Callable[[], bool], why: str) -> None:
        """Wait until a condition holds."""

        async def poll() -> None:
            while not check():  # noqa: ASYNC110 - the author's server sends no event
                await asyncio.sleep(_POLL_INTERVAL)

        await self.within(poll(), why)

    async def fault(self, provider: Provider, does: Behaviour) -> ProviderError:
        """The error that one call raises."""
        raised: BaseException | None = None
        try:
            answer = await self.within(provider.complete(asking()), f"the call hangs with {does=}")
        except Exception as error:  # noqa: BLE001
            raised = error
        else:
            raise AssertionError(f"hidden fault: with {does=} `complete` returned {answer}")
        if isinstance(raised, AssertionError):
            raise raised
        assert isinstance(raised, ProviderError), (
            f"strange error: with {does=} `complete` raised {raised!r}; convert every error of the "
            "client library to one of `paceline.errors`"
        )
        self.keeps_secret("".join(traceback.format_exception(raised)) + repr(raised), "an error")
        return raised

    def keeps_secret(self, text: str, where: str) -> None:
        """Check that a text does not contain the key."""
        if self.secret and self.secret in text:
            # No `assert` statement, because pytest would print the text.
            raise AssertionError(
                f"leaked key: {where} contains the secret; remove it, and raise errors `from None`"
            )
