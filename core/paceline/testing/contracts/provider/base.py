"""What an author says of a provider, and the words in which the suite speaks of it."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from string import Template
from typing import ClassVar, Literal, TypeVar

from paceline.contracts.provider import CompletionRequest, Message, Provider
from paceline.contracts.step import Subject
from paceline.errors import ProviderError
from paceline.roadmaps.model import Concept
from paceline.steps.quiz import Quiz
from paceline.testing.contracts.contract import Contract

T = TypeVar("T")

#: What the server of a provider under test does with each call.
Behaviour = Literal["answers", "refuses", "fails", "away", "rejects", "bars", "babbles", "hangs"]

#: The step whose answers are asked for.
STEP = Quiz(Template("Write a quiz."))
#: Seconds between two looks.
_LOOK = 0.01


def asking(number: int = 0) -> CompletionRequest:
    """A request as a worker makes it, with the schema of a built-in step; no two alike."""
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
    """How the suite comes by providers."""

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
        """Make your provider; called on the event loop.

        What else it takes, as a server, is pushed onto ``self.opened``, which closes it; the
        provider is closed by the suite, before.

        Args:
            does: what happens to every call.
        """
        raise NotImplementedError(f"{type(self).__name__}.provider() makes the provider to test")

    def attempts(self) -> int:
        """Requests that came out of the present scenario's provider; where you ``count``."""
        raise NotImplementedError(f"{type(self).__name__}.attempts() counts requests")

    def in_flight(self) -> int:
        """Calls that the server works on now; where you ``watch``."""
        raise NotImplementedError(f"{type(self).__name__}.in_flight() counts calls")

    async def made(self, does: Behaviour) -> Provider:
        """A provider that is closed when the scenario is over."""
        provider = await self.provider(does)
        self.opened.push_async_callback(provider.close)
        return provider

    async def within(self, call: Awaitable[T], why: str) -> T:
        """What a call brings, in time."""
        bound = asyncio.timeout(self.patience)
        try:
            async with bound:
                return await call
        except TimeoutError:
            if not bound.expired():
                raise
        raise AssertionError(f"{why} (waited {self.patience:g} s)")

    async def until(self, check: Callable[[], bool], why: str) -> None:
        """Wait until something holds."""

        async def looking() -> None:
            while not check():  # noqa: ASYNC110 - a server of the author's rings no bell
                await asyncio.sleep(_LOOK)

        await self.within(looking(), why)

    async def fault(self, provider: Provider, does: Behaviour) -> ProviderError:
        """What one call raises."""
        raised: BaseException | None = None
        try:
            answer = await self.within(
                provider.complete(asking()), f"a call hangs where the server {does}"
            )
        except Exception as error:  # noqa: BLE001
            raised = error
        else:
            raise AssertionError(f"hidden fault: the server {does}, and `complete` gave {answer}")
        if isinstance(raised, AssertionError):
            raise raised
        assert isinstance(raised, ProviderError), (
            f"strange error: where the server {does}, `complete` raised {raised!r}; every error "
            "of the client has to become one of `paceline.errors`"
        )
        self.keeps_secret("".join(traceback.format_exception(raised)) + repr(raised), "an error")
        return raised

    def keeps_secret(self, text: str, where: str) -> None:
        """No text that may be shown holds the key."""
        if self.secret and self.secret in text:
            # Not by `assert`, which would show the text.
            raise AssertionError(
                f"leaked key: {where} shows the secret; keep it out of texts, and raise `from None`"
            )
