"""One call to the provider until it brings a usable answer: admission, retries, repairs."""

import asyncio
import random
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from pydantic import BaseModel

from paceline.contracts.provider import Completion, CompletionRequest, Provider
from paceline.contracts.step import Step
from paceline.contracts.strategy import Strategy
from paceline.contracts.work import (
    Done,
    Failed,
    Outcome,
    RateLimited,
    Work,
    parse_rate_limits,
)
from paceline.errors import (
    Fatal,
    PacelineError,
    ProviderError,
    ProviderUnusable,
    Refused,
    RequestTooLong,
    Transient,
    Unreachable,
    UnusableAnswer,
)
from paceline.runtime.provider_health import ProviderHealth
from paceline.runtime.repairs import KEPT_ANSWER, MOST_REPAIRS, next_request, without_answer
from paceline.runtime.task_state import TaskState
from paceline.settings.model import ProviderSettings
from paceline.steps.answers import parse_answer

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class CallFailed(PacelineError):
    """A call failed for good.

    Args:
        reason: why, in one line.
        tally: what was spent on it.
        last_answer: the last answer that could not be used, if there was one.
        pattern: the same for failures that have one cause; ``None`` if only this call can
            have it.
    """

    def __init__(
        self,
        reason: str,
        tally: "Tally",
        last_answer: str | None = None,
        pattern: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.tally = tally
        self.last_answer = None if last_answer is None else last_answer[:KEPT_ANSWER]
        self.pattern = pattern


@dataclass(slots=True)
class Tally:
    """What calls have cost so far, whether they succeeded or not.

    Attributes:
        attempts: attempts that were not refused.
        prompt_tokens: tokens of all prompts that were charged.
        completion_tokens: tokens of all answers that were charged.
        estimated: whether some of these numbers are estimates.
    """

    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False

    def add(self, charged: "Completion | ProviderError | Tally") -> None:
        """Count what an answer, a failed attempt or other calls cost."""
        self.prompt_tokens += charged.prompt_tokens
        self.completion_tokens += charged.completion_tokens
        self.estimated = self.estimated or charged.estimated
        if isinstance(charged, Tally):
            self.attempts += charged.attempts


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
class Caller:
    """Makes the calls of one concept through a strategy.

    Attributes:
        provider: the provider.
        strategy: admits each attempt.
        settings: attempts, pauses and patience.
        state: whether the task rests or an attempt is in flight.
        health: what the run's calls tell about the provider.
        chance: source of jitter.
    """

    provider: Provider
    strategy: Strategy
    settings: ProviderSettings
    state: TaskState
    health: ProviderHealth
    chance: random.Random = field(default_factory=random.Random)

    async def ask(
        self,
        work: Work,
        request: CompletionRequest,
        step: Step,
        *,
        tally: Tally | None = None,
        ids: Collection[str] = (),
    ) -> Answer[BaseModel]:
        """Call until the answer fits the step's model.

        An answer that does not fit is sent back once with what is wrong with it.

        Args:
            work: what asks for admission.
            request: the prompt and the form of the answer.
            step: the step; the answer must fit its model.
            tally: counts what the call costs, also if it is cancelled.
            ids: ids that the prompt contains.

        Raises:
            CallFailed: this call cannot be answered.
            ProviderUnusable: no call can be.
        """
        call = _Call(self, work, request, step, Tally() if tally is None else tally, ids)
        return await call.make()

    async def attempt(self, work: Work, request: CompletionRequest, tally: Tally) -> Completion:
        """Make one attempt as soon as the strategy admits it; count what it costs.

        Raises:
            ProviderError: as ``Provider.complete``.
        """
        self.state.rest()
        telemetry = self.state.telemetry
        with telemetry.admit(work), self.state.gauges.wait():
            permit = await self.strategy.admit(work)
        outcome: Outcome = Failed(arrived=True)
        started = asyncio.get_running_loop().time()
        try:
            with self.state.call(), telemetry.attempt(work, request) as span:
                completion = await self.provider.complete(request)
                span.answered(completion)
            self.health.answered()
            tally.attempts += 1
            tally.add(completion)
            outcome = Done(
                _counted(completion, request),
                asyncio.get_running_loop().time() - started,
                parse_rate_limits(completion.rate_limit_headers),
            )
            return completion
        except Refused as refusal:
            self.health.reached()
            self.state.gauges.refusals += 1
            after = refusal.retry_after
            outcome = RateLimited(
                None if after is None else min(after, self.settings.max_backoff),
                parse_rate_limits(refusal.rate_limit_headers),
            )
            raise
        except Unreachable:
            outcome = Failed()
            raise
        except ProviderError as error:
            if isinstance(error, UnusableAnswer):
                self.health.answered()
            else:
                self.health.reached()
            tally.attempts += 1
            tally.add(error)
            raise
        except asyncio.CancelledError:
            # The provider may finish and charge the answer all the same.
            tally.attempts += 1
            tally.prompt_tokens += request.estimated_prompt_tokens()
            tally.estimated = True
            raise
        finally:
            permit.release(outcome)


@dataclass(slots=True)
class _Call:
    """One call, with its attempts and repairs.

    Attributes:
        caller: makes the attempts.
        work: what asks for admission.
        first: the request as the step made it.
        step: the step; the answer must fit its model.
        tally: counts what the call costs.
        ids: ids that the prompt contains.
        repaired: kinds of unusable answers that were asked for again.
        passing: failures that another attempt may not have.
        thought: whether the model spent a whole answer on thoughts.
    """

    caller: Caller
    work: Work
    first: CompletionRequest
    step: Step
    tally: Tally
    ids: Collection[str]
    repaired: set[str] = field(default_factory=set[str])
    passing: int = 0
    thought: bool = False

    async def make(self) -> Answer[BaseModel]:
        caller, health = self.caller, self.caller.health
        started = asyncio.get_running_loop().time()
        pauses = _Pauses(
            caller.settings, caller.chance, caller.strategy.holds_refusals, health=health
        )
        bound = max(self.first.max_tokens, health.bound)
        request = self.first = replace(self.first, max_tokens=bound)
        answers = health.answers
        while True:
            try:
                attempt = replace(
                    self.work,
                    attempt=self.tally.attempts + 1,
                    tokens=request.estimated_tokens(),
                )
                completion = await caller.attempt(attempt, request, self.tally)
                value = parse_answer(self.step, completion.text, ids=self.ids)
            except Refused as refusal:
                caller.state.rest()
                await pauses.after_refusal(refusal, self.tally)
            except Unreachable as error:
                if health.answers > answers:
                    # Other calls arrive: it is this call's trouble, not an outage.
                    self._count_passing(error)
                answers = health.answers
                caller.state.rest()
                await pauses.after_outage(error)
            except Transient as error:
                self._count_passing(error)
                caller.state.rest()
                await pauses.after_failure()
            except ProviderUnusable as error:
                self.passing += 1
                if not health.may_pass(error) or self.passing >= caller.settings.attempts:
                    raise
                caller.state.rest()
                await pauses.after_failure()
            except RequestTooLong as error:
                # The answer that a repair quotes may be too much: ask again without it.
                shorter = replace(request, messages=without_answer(request.messages))
                if shorter == request:
                    raise self._failed(error) from None
                request = shorter
            except Fatal as error:
                raise self._failed(error) from None
            except UnusableAnswer as error:
                again = None if error.kind in self.repaired else next_request(self.first, error)
                if again is None or len(self.repaired) >= MOST_REPAIRS:
                    raise self._unusable(error) from None
                self.repaired.add(error.kind)
                self.thought = self.thought or (error.kind == "truncated" and not error.answer)
                request = again
            else:
                health.usable += 1
                if request.max_tokens > bound and self.thought:
                    health.bound = max(health.bound, request.max_tokens)
                seconds = asyncio.get_running_loop().time() - started
                return Answer(value, completion.model, self.tally, seconds)

    def _count_passing(self, error: Transient) -> None:
        self.passing += 1
        if self.passing >= self.caller.settings.attempts:
            reason = f"{self.passing} attempts failed, the last: {error}"
            raise CallFailed(reason, self.tally) from None

    def _failed(self, error: Fatal) -> CallFailed:
        return CallFailed(str(error), self.tally, pattern=_pattern(error))

    def _unusable(self, error: UnusableAnswer) -> CallFailed:
        again = " again, after a repair" if self.repaired else ""
        advice = f"; {error.advice}" if error.advice else ""
        return CallFailed(
            f"{error}{again}{advice}",
            self.tally,
            error.answer,
            pattern=error.kind if error.kind == "truncated" else None,
        )


def _pattern(error: Fatal) -> str:
    """The beginning of an error without numbers and quotations."""
    text = re.sub(r"\d+|'[^']*'|\"[^\"]*\"", "", str(error))
    return f"{type(error).__name__} {text[:80]}"


def _counted(completion: Completion, request: CompletionRequest) -> int:
    """Tokens that the provider's quota counted: the longest answer, not the one that came.

    Providers charge a call at its admission, when they know no more of the answer.
    """
    if completion.estimated or not completion.prompt_tokens:
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
        held: whether the strategy holds back all calls after a refusal, this one too.
        health: what the run's calls tell about the provider.
        failures: number of failures so far.
        refused_for: seconds that the call spent being refused.
        refused_since: when it was refused first.
    """

    settings: ProviderSettings
    chance: random.Random
    held: bool
    health: ProviderHealth
    failures: int = 0
    refused_for: float = 0.0
    refused_since: float | None = None

    async def after_failure(self) -> None:
        await asyncio.sleep(self._jitter())

    async def after_outage(self, error: Unreachable) -> None:
        pause = self._jitter()
        # Half a second more than the patience: the last attempt is then one beyond it.
        left = self.settings.patience - self.health.unreachable(error, pause)
        await self.health.until_back(min(pause, left + 0.5))

    async def after_refusal(self, refusal: Refused, tally: Tally) -> None:
        now = asyncio.get_running_loop().time()
        if self.refused_since is None:
            self.refused_since = now
        wait = min(refusal.retry_after or 0.0, self.settings.max_backoff) + self._jitter()
        self.health.refused(refusal, wait)
        # If the strategy pauses for all, waiting in its line is not being refused.
        so_far = self.refused_for if self.held else now - self.refused_since
        if so_far + wait > self.settings.patience:
            reason = f"refused for {so_far:.0f} s, longer than provider.patience: {refusal}"
            if not self.health.answers:
                raise ProviderUnusable(f"all calls were {reason}")
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
