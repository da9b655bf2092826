"""One call to the provider until it brings a usable answer: admission, retries, one repair."""

import asyncio
import logging
import random
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from pydantic import BaseModel

from paceline.contracts import work
from paceline.contracts.provider import Completion, CompletionRequest, Message, Provider
from paceline.contracts.step import Step
from paceline.contracts.strategy import Strategy
from paceline.contracts.work import parse_rate_limits
from paceline.errors import (
    Fatal,
    PacelineError,
    ProviderUnusable,
    Refused,
    Transient,
    Unreachable,
    UnusableAnswer,
)
from paceline.runtime.task_state import TaskState
from paceline.settings.model import ProviderSettings
from paceline.steps.answers import parse_answer

log = logging.getLogger("paceline.provider")

AnswerT = TypeVar("AnswerT", bound=BaseModel)

#: What a dead letter keeps of the last answer, characters.
KEPT_ANSWER = 20_000


class CallFailed(PacelineError):
    """A call failed for good.

    Args:
        reason: why, in one line.
        tally: what was spent on it.
        last_answer: the last answer that could not be used, if there was one.
    """

    def __init__(self, reason: str, tally: "Tally", last_answer: str | None = None) -> None:
        super().__init__(reason)
        self.tally = tally
        self.last_answer = None if last_answer is None else last_answer[:KEPT_ANSWER]


@dataclass(slots=True)
class Tally:
    """What one call has cost so far.

    Attributes:
        attempts: attempts that were not refused.
        prompt_tokens: tokens of all prompts that were answered.
        completion_tokens: tokens of all answers.
    """

    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, completion: Completion) -> None:
        """Count an answer."""
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens


@dataclass(frozen=True, slots=True)
class Answer(Generic[AnswerT]):
    """A usable answer and what it cost.

    Attributes:
        value: the validated answer.
        model: the model that wrote it.
        tally: what all attempts cost.
        seconds: from asking for admission to the valid answer.
    """

    value: AnswerT
    model: str
    tally: Tally
    seconds: float


@dataclass(slots=True)
class Outage:
    """Since when no call of a run reaches the provider.

    All calls of the run share it: a provider that stays away fails them together, not one
    after the other for the whole of their patience each.

    Attributes:
        since: the loop's time of the first attempt in vain; ``None`` while it is reached.
    """

    since: float | None = None

    def begins(self, why: Unreachable, patience: float) -> float:
        """An attempt was in vain; returns the seconds that the outage has lasted."""
        now = asyncio.get_running_loop().time()
        if self.since is None:
            self.since = now
            log.warning("%s; it is asked again for up to %g s (provider.patience)", why, patience)
        return now - self.since

    def ends(self) -> None:
        """The provider was reached."""
        self.since = None


@dataclass(slots=True)
class Caller:
    """Makes the calls of one concept through a strategy.

    Attributes:
        provider: who answers.
        strategy: who admits each attempt.
        settings: attempts, pauses and patience.
        flight: told when the task rests and when an attempt is in flight.
        outage: the run's, which its calls share.
        chance: source of jitter.
    """

    provider: Provider
    strategy: Strategy
    settings: ProviderSettings
    flight: TaskState
    outage: Outage
    chance: random.Random = field(default_factory=random.Random)

    async def ask(
        self, asked: work.Work, request: CompletionRequest, step: Step
    ) -> Answer[BaseModel]:
        """Ask until the answer fits the step's model.

        An answer that does not is sent back once with what is wrong with it.

        Raises:
            CallFailed: this call cannot be answered.
            ProviderUnusable: no call can be.
        """
        started = asyncio.get_running_loop().time()
        tally = Tally()
        pause = _Pauses(self.settings, self.chance, held=self.strategy.holds_refusals)
        repaired: UnusableAnswer | None = None
        while True:
            try:
                attempt = replace(
                    asked, attempt=tally.attempts + 1, tokens=request.estimated_tokens()
                )
                completion = await self._attempt(attempt, request, tally)
                value = parse_answer(step, completion.text)
            except Refused as refusal:
                self.flight.rest()
                await pause.after_refusal(refusal, tally)
            except Unreachable as error:
                patience = self.settings.patience
                away = self.outage.begins(error, patience)
                if away > patience:
                    raise CallFailed(f"for {away:.0f} s {error}", tally) from None
                self.flight.rest()
                await pause.after_failure(longest=patience - away)
            except Transient as error:
                if tally.attempts >= self.settings.attempts:
                    reason = f"{tally.attempts} attempts failed, the last: {error}"
                    raise CallFailed(reason, tally) from None
                self.flight.rest()
                await pause.after_failure()
            except ProviderUnusable:
                raise
            except Fatal as error:
                raise CallFailed(str(error), tally) from None
            except UnusableAnswer as error:
                if repaired is not None or error.kind == "refusal":
                    again = " again after it was told what was wrong" if repaired else ""
                    raise CallFailed(f"{error}{again}", tally, error.answer) from None
                repaired = error
                request = replace(request, messages=_repair(request.messages, error))
            else:
                seconds = asyncio.get_running_loop().time() - started
                return Answer(value, completion.model, tally, seconds)

    async def _attempt(
        self, asked: work.Work, request: CompletionRequest, tally: Tally
    ) -> Completion:
        self.flight.rest()
        telemetry = self.flight.telemetry
        with telemetry.admit(asked), self.flight.gauges.wait():
            permit = await self.strategy.admit(asked)
        outcome: work.Outcome = work.Failed(arrived=True)
        started = asyncio.get_running_loop().time()
        try:
            with self.flight.call(), telemetry.attempt(asked, request) as span:
                completion = await self.provider.complete(request)
                span.answered(completion)
            self.outage.ends()
            tally.attempts += 1
            tally.add(completion)
            outcome = work.Done(
                _counted(completion, request),
                asyncio.get_running_loop().time() - started,
                parse_rate_limits(completion.rate_limit_headers),
            )
            return completion
        except Refused as refusal:
            self.outage.ends()
            self.flight.gauges.refusals += 1
            after = refusal.retry_after
            outcome = work.RateLimited(
                None if after is None else min(after, self.settings.max_backoff),
                parse_rate_limits(refusal.rate_limit_headers),
            )
            raise
        except Unreachable:
            outcome = work.Failed()
            raise
        except PacelineError:
            self.outage.ends()
            tally.attempts += 1
            raise
        finally:
            permit.release(outcome)


def _counted(completion: Completion, request: CompletionRequest) -> int:
    """Tokens that the provider's quota counted: the longest answer, not the one that came.

    Providers charge a call at its admission, when they know no more of the answer.
    """
    if not completion.prompt_tokens:
        return 0
    return completion.prompt_tokens + max(request.max_tokens, completion.completion_tokens)


@dataclass(slots=True)
class _Pauses:
    """How long to wait before the next attempt: exponential, with full jitter.

    Full jitter is the scheme of "Exponential Backoff And Jitter" (AWS Architecture Blog,
    2015): a random part of the bound spreads callers that failed together.

    Attributes:
        settings: attempts, pauses and patience.
        chance: source of jitter.
        held: whether the strategy holds back everybody after a refusal, this call too.
        failures: how many there were.
        refused_for: seconds that the call spent being refused.
        refused_since: when it was refused first.
    """

    settings: ProviderSettings
    chance: random.Random
    held: bool = False
    failures: int = 0
    refused_for: float = 0.0
    refused_since: float | None = None

    async def after_failure(self, *, longest: float | None = None) -> None:
        pause = self._jitter()
        # Half a second more than the patience: the last attempt is then one beyond it.
        await asyncio.sleep(pause if longest is None else min(pause, longest + 0.5))

    async def after_refusal(self, refusal: Refused, tally: Tally) -> None:
        now = asyncio.get_running_loop().time()
        if self.refused_since is None:
            self.refused_since = now
        wait = min(refusal.retry_after or 0.0, self.settings.max_backoff) + self._jitter()
        # Where the strategy pauses for all, waiting in its line is not being refused.
        so_far = self.refused_for if self.held else now - self.refused_since
        if so_far + wait > self.settings.patience:
            reason = f"refused for {so_far:.0f} s, longer than provider.patience: {refusal}"
            raise CallFailed(reason, tally)
        self.refused_for += wait
        if not self.held:
            await asyncio.sleep(wait)

    def _jitter(self) -> float:
        bound = min(
            self.settings.max_backoff, self.settings.backoff * 2.0 ** min(self.failures, 30)
        )
        self.failures += 1
        return self.chance.uniform(0.0, bound)


def _repair(messages: tuple[Message, ...], error: UnusableAnswer) -> tuple[Message, ...]:
    """The prompt, the answer it brought, and what is wrong with that."""
    complaint = (
        f"That answer cannot be used: {error.problem}\n"
        "Answer again, completely, with only the JSON that was asked for."
    )
    said = (Message("assistant", error.answer[:KEPT_ANSWER]),) if error.answer else ()
    return (*messages, *said, Message("user", complaint))
