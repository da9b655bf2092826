"""What a provider guarantees about its answers, its connections and its event loop."""

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

#: Number of concurrent calls.
MANY = 50


class ProviderCalls(ProviderScenarios):
    """Answers, cancelled calls, closing."""

    @scenario
    async def test_an_answer_has_text_model_and_usage(self) -> None:
        """An answer names its model and shows what it cost."""
        provider = await self.made("answers")
        completion = await self.within(provider.complete(asking_for_text()), "a call hangs")
        assert completion.text.strip(), "`text` is empty; raise UnusableAnswer instead"
        assert completion.model, "`model` is empty; it must name the model that answered"
        assert completion.prompt_tokens > 0, "`prompt_tokens` must be the billed tokens"
        assert completion.completion_tokens > 0, "`completion_tokens` must be the billed tokens"
        assert ":" in provider.key, f"`key` must have the form provider:model, got {provider.key!r}"
        names = set(completion.rate_limit_headers)
        assert names == {name.lower() for name in names}, "`rate_limit_headers` must be lower-case"
        self.keeps_secret(repr(provider) + repr(completion), "`repr` of provider or completion")

    @scenario
    async def test_an_answer_by_a_schema_parses(self) -> None:
        """The text is JSON that the step can parse."""
        provider = await self.made("answers")
        completion = await self.within(provider.complete(asking()), "a call hangs")
        parse_answer(STEP.answer, completion.text)
        number = self.attempts() if self.counts else 1
        assert number == 1, f"hidden retry: one `complete` sent {number} requests"

    @scenario
    async def test_many_calls_at_once_are_all_answered(self) -> None:
        """Calls share no state: one provider serves all concepts of a worker."""
        provider = await self.made("answers")
        calls = [provider.complete(asking(number)) for number in range(MANY)]
        answers = await self.within(asyncio.gather(*calls), f"{MANY} concurrent calls hang")
        assert len([answer for answer in answers if answer.text]) == MANY
        number = self.attempts() if self.counts else MANY
        assert number == MANY, f"{MANY} calls sent {number} requests"

    @when("hangs")
    @scenario
    async def test_a_cancelled_call_frees_everything_at_once(self) -> None:
        """Leak on cancel: the server stops working on a cancelled call."""
        provider = await self.made("hangs")
        calls = [asyncio.create_task(provider.complete(asking(number))) for number in range(MANY)]
        if self.watches:
            await self.until(lambda: self.in_flight() == MANY, "the calls did not reach the server")
        else:
            await asyncio.sleep(0.1)
        for call in calls:
            call.cancel()
        _, late = await asyncio.wait(calls, timeout=self.patience)
        assert not late, f"{len(late)} of {MANY} calls did not end after they were cancelled"
        ended = [call.exception() for call in calls if not call.cancelled()]
        assert not ended, (
            f"swallowed cancellation: a cancelled call ended with {ended[0]!r}; it must end with "
            "CancelledError"
        )
        if self.watches:
            why = "leak on cancel: the server still processes cancelled calls"
            await self.until(lambda: not self.in_flight(), why)

    @when("connects")
    def test_nothing_is_left_open(self) -> None:
        """A provider that was used and closed leaves no connection open."""

        async def used() -> None:
            provider = await self.made("answers")
            await self.within(provider.complete(asking()), "a call hangs")
            await provider.close()
            await provider.close()

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            self.play(used())
            gc.collect()
        left = [str(one.message) for one in caught if issubclass(one.category, ResourceWarning)]
        assert not left, f"left open after `close`: {left}"

    @when("connects")
    @scenario
    async def test_a_closed_provider_asks_nobody(self) -> None:
        """A call on a closed provider raises an error and sends no request."""
        provider = await self.made("answers")
        await self.within(provider.complete(asking()), "a call hangs")
        await provider.close()
        raised: BaseException | None = None
        try:
            await self.within(provider.complete(asking(1)), "a closed provider hangs")
        except ProviderError as error:
            raised = error
        assert raised is not None, "`complete` after `close` must raise a ProviderError"
        number = self.attempts() if self.counts else 1
        assert number == 1, "`complete` after `close` sent a request"

    @when("connects", "hangs")
    @scenario
    async def test_closing_ends_the_calls_in_flight(self) -> None:
        """Calls in flight raise an error when the provider is closed."""
        provider = await self.made("hangs")
        call = asyncio.create_task(provider.complete(asking()))
        if self.watches:
            await self.until(lambda: self.in_flight() == 1, "the call did not reach the server")
        else:
            await asyncio.sleep(0.1)
        await provider.close()
        await asyncio.wait({call}, timeout=self.patience)
        assert call.done(), "a call in flight did not end after `close`"
        assert isinstance(call.exception(), ProviderError), (
            f"a call in flight must raise ProviderError on `close`, raised {call.exception()!r}"
        )

    def test_each_event_loop_has_a_provider_of_its_own(self) -> None:
        """A provider works on each of two event loops, one after the other."""

        async def used() -> None:
            provider = await self.made("answers")
            why = (
                "a call hangs; if it is on a second event loop, keep clients in the provider, not "
                "in its class or module"
            )
            await self.within(provider.complete(asking()), why)

        for _ in range(2):
            self.play(used())
