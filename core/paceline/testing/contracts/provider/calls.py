"""What a provider promises of its answers, its connections and its event loop."""

import asyncio
import gc
import warnings

from paceline.errors import ProviderError
from paceline.steps.answers import parse_answer
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.provider.base import (
    STEP,
    ProviderScenarios,
    asking,
    asking_for_text,
)

#: Calls at once.
MANY = 50


class ProviderCalls(ProviderScenarios):
    """Answering, being cancelled, being closed."""

    @scenario
    async def test_an_answer_has_text_model_and_usage(self) -> None:
        """Whoever pays knows what for."""
        provider = await self.made("answers")
        completion = await self.within(provider.complete(asking_for_text()), "a call hangs")
        assert completion.text.strip(), "an answer without a text; raise UnusableAnswer"
        assert completion.model, "`model` is empty: name the model that answered"
        assert completion.prompt_tokens > 0, "`prompt_tokens` is what the prompt was charged"
        assert completion.completion_tokens > 0, "`completion_tokens` is what the answer was"
        assert ":" in provider.key, f"`key` is {provider.key!r}; it is provider:model"
        assert completion.rate_limit_headers.keys() == {
            name.lower() for name in completion.rate_limit_headers
        }
        self.keeps_secret(repr(provider) + repr(completion), "the provider or its answer")

    @scenario
    async def test_an_answer_by_a_schema_parses(self) -> None:
        """The text is JSON that the step takes, with nothing around it that would hinder."""
        provider = await self.made("answers")
        completion = await self.within(provider.complete(asking()), "a call hangs")
        parse_answer(STEP, completion.text)
        number = self.attempts() if self.counts else 1
        assert number == 1, f"hidden retry: one `complete` made {number} requests"

    @scenario
    async def test_many_calls_at_once_are_all_answered(self) -> None:
        """State shared between calls: one provider serves every concept of a worker."""
        provider = await self.made("answers")
        calls = [provider.complete(asking(number)) for number in range(MANY)]
        answers = await self.within(asyncio.gather(*calls), f"{MANY} calls at once hang")
        assert len([answer for answer in answers if answer.text]) == MANY
        number = self.attempts() if self.counts else MANY
        assert number == MANY, f"{MANY} calls made {number} requests"

    @when("hangs")
    @scenario
    async def test_a_cancelled_call_frees_everything_at_once(self) -> None:
        """Leak on cancel: no call goes on behind our back, no connection stays taken."""
        provider = await self.made("hangs")
        calls = [asyncio.create_task(provider.complete(asking(number))) for number in range(MANY)]
        if self.watches:
            await self.until(lambda: self.in_flight() == MANY, "calls do not reach the server")
        else:
            await asyncio.sleep(0.1)
        for call in calls:
            call.cancel()
        _, late = await asyncio.wait(calls, timeout=self.patience)
        assert not late, f"{len(late)} of {MANY} calls go on after they were cancelled"
        ended = [call.exception() for call in calls if not call.cancelled()]
        assert not ended, (
            f"swallowed cancellation: a cancelled call ended with {ended[0]!r}; it must end with "
            "CancelledError"
        )
        if self.watches:
            why = "leak on cancel: the server still works for calls that were cancelled"
            await self.until(lambda: not self.in_flight(), why)

    @when("connects")
    def test_nothing_is_left_open(self) -> None:
        """Leak: a provider that was used and closed leaves no connection behind."""

        async def used() -> None:
            provider = await self.made("answers")
            await self.within(provider.complete(asking()), "a call hangs")
            await provider.close()
            await provider.close()

        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ResourceWarning)
            self.play(used())
            gc.collect()
        left = [str(one.message) for one in told if issubclass(one.category, ResourceWarning)]
        assert not left, f"left open: {left}; `close` closes all that calls opened"

    @when("connects")
    @scenario
    async def test_a_closed_provider_asks_nobody(self) -> None:
        """Whoever calls too late is told so by an error, soon."""
        provider = await self.made("answers")
        await self.within(provider.complete(asking()), "a call hangs")
        await provider.close()
        told: BaseException | None = None
        try:
            await self.within(provider.complete(asking(1)), "a closed provider hangs")
        except ProviderError as error:
            told = error
        assert told is not None, "asked after `close`, it must raise a ProviderError"
        number = self.attempts() if self.counts else 1
        assert number == 1, "asked after `close`, it still sent a request"

    @when("connects", "hangs")
    @scenario
    async def test_closing_ends_the_calls_in_flight(self) -> None:
        """Nobody waits for ever for what was closed."""
        provider = await self.made("hangs")
        call = asyncio.create_task(provider.complete(asking()))
        if self.watches:
            await self.until(lambda: self.in_flight() == 1, "a call does not reach the server")
        else:
            await asyncio.sleep(0.1)
        await provider.close()
        await asyncio.wait({call}, timeout=self.patience)
        assert call.done(), "`close` leaves a call that waits for ever"
        assert isinstance(call.exception(), ProviderError), (
            f"a call whose provider is closed raises {call.exception()!r}, not a ProviderError"
        )

    def test_each_event_loop_has_a_provider_of_its_own(self) -> None:
        """Loop shared: made, used and closed on one loop, then another one on the next."""

        async def used() -> None:
            provider = await self.made("answers")
            why = (
                "loop shared: on a second event loop a call hangs; keep clients in the provider, "
                "not in class or module"
            )
            await self.within(provider.complete(asking()), why)

        for _ in range(2):
            self.play(used())
