"""One call to the provider until it brings a usable answer: admission, retries, repairs."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from paceline.calls.models import ModelDown
from paceline.calls.provider_health import ProviderHealth
from paceline.calls.repairs import KEPT_ANSWER, MOST_REPAIRS, next_request, without_answer
from paceline.calls.tally import Tally
from paceline.calls.task_state import TaskState
from paceline.calls.trace import Trace
from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.admission.work import (
    Done,
    Failed,
    Outcome,
    RateLimited,
    Work,
    parse_rate_limits,
)
from paceline.contracts.provider import Completion, CompletionRequest, Provider
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
from paceline.settings.model import ProviderSettings
from paceline.steps.junk import repeats_itself

ParsedT = TypeVar("ParsedT")


class CallFailed(PacelineError):
    """A call failed for good.

    Args:
        reason: why, in one line.
        last_answer: the last answer that could not be used, if there was one.
        pattern: the same for failures that have one cause; ``None`` if only this call can
            have it.
    """

    def __init__(
        self,
        reason: str,
        last_answer: str | None = None,
        pattern: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.last_answer = None if last_answer is None else last_answer[:KEPT_ANSWER]
        self.pattern = pattern


@dataclass(frozen=True, slots=True)
class Answer(Generic[ParsedT]):
    """A usable answer.

    Attributes:
        value: the parsed answer.
        model: the model that wrote it, as the provider reports it.
    """

    value: ParsedT
    model: str


async def _record_nothing() -> None:
    return


@dataclass(slots=True)
class Caller:
    """Makes calls of one concept to one model, through a strategy.

    Attributes:
        provider: the model's provider.
        strategy: admits each attempt.
        settings: the model's attempts, pauses, patience and prices.
        state: whether the task rests or an attempt is in flight.
        health: what the run's calls tell about the model.
        chance: source of jitter.
        skip: whether the model is known to be down, and the chain has another one.
        trace: records when the calls waited and were in flight.
    """

    provider: Provider
    strategy: Strategy
    settings: ProviderSettings
    state: TaskState
    health: ProviderHealth
    chance: random.Random = field(default_factory=random.Random)
    skip: Callable[[], bool] = lambda: False
    trace: Trace = field(default_factory=Trace)

    async def ask(
        self,
        work: Work,
        request: CompletionRequest,
        parse: Callable[[Completion], ParsedT],
        *,
        tally: Tally | None = None,
        record: Callable[[], Awaitable[None]] = _record_nothing,
    ) -> Answer[ParsedT]:
        """Call until the answer can be used.

        An answer that cannot be used is sent back once with what is wrong with it.

        Args:
            work: what asks for admission.
            request: the prompt and the form of the answer.
            parse: makes the result; it raises ``UnusableAnswer`` if it cannot.
            tally: counts what the call costs, also if it is cancelled.
            record: called before another attempt, if the earlier ones cost tokens.

        Raises:
            CallFailed: this call cannot be answered.
            ModelDown: the model is known to be down.
            ProviderUnusable: no call can be answered.
        """
        counted = Tally() if tally is None else tally
        return await _Call(self, work, request, parse, counted, record).make()

    async def attempt(self, work: Work, request: CompletionRequest, tally: Tally) -> Completion:
        """Make one attempt as soon as the strategy admits it; count what it costs.

        Raises:
            ProviderError: as ``Provider.complete``.
        """
        self.state.rest()
        prompt_tokens = request.estimated_prompt_tokens()
        telemetry = self.state.telemetry
        with telemetry.admit(work), self.state.waiting("call"), self.trace.doing("waiting"):
            permit = await self.strategy.admit(work)
        if permit.notice is not None:
            self.state.notify(permit.notice)
        if self.skip():
            permit.release(Failed())
            raise ModelDown
        outcome: Outcome = Failed(arrived=True)
        started = asyncio.get_running_loop().time()
        self.trace.calling(started)
        try:
            with (
                self.state.call(
                    work.run_id,
                    prompt_tokens,
                    self.health.mean_answer,
                    self.settings.cost(prompt_tokens, self.health.mean_answer),
                ),
                telemetry.attempt(work, request) as span,
                self.health.waiting_for(self.provider.waits_for()),
            ):
                try:
                    completion = await self.provider.complete(request)
                except ProviderError as error:
                    span.charged(error)
                    self.state.gauges.attempts[work.key].failed(error)
                    raise
                span.answered(completion)
            seconds = asyncio.get_running_loop().time() - started
            self.state.gauges.attempts[work.key].answered(seconds)
            self.health.answered(completion.completion_tokens)
            cost = tally.add(completion, self.settings)
            outcome = Done(
                _counted(completion, request),
                seconds,
                parse_rate_limits(completion.rate_limit_headers),
                cost,
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
        except Unreachable as error:
            outcome = Failed(arrived=error.estimated)
            if error.estimated:  # it was sent, and the connection was cut
                tally.add(error, self.settings)
            raise
        except ProviderError as error:
            if isinstance(error, UnusableAnswer):
                self.health.answered(error.completion_tokens)
            else:
                self.health.reached()
            if error.sent:
                cost = tally.add(error, self.settings)
                charged = error.prompt_tokens + error.completion_tokens
                if charged and not error.estimated:
                    outcome = Failed(arrived=True, cost=cost)
            raise
        except asyncio.CancelledError:
            tally.add_estimate(prompt_tokens, self.health.mean_answer, self.settings)
            raise
        finally:
            permit.release(outcome)
            self.trace.called(outcome, started)


@dataclass(slots=True)
class _Call(Generic[ParsedT]):
    """One call, with its attempts and repairs.

    Attributes:
        caller: makes the attempts.
        work: what asks for admission.
        first: the request as the step made it.
        parse: makes the result.
        tally: counts what the call costs.
        record: called before another attempt, if the earlier ones cost tokens.
        repaired: kinds of unusable answers that were asked for again.
        passing: failures that another attempt may not have.
        thought: whether the model spent a whole answer on thoughts.
    """

    caller: Caller
    work: Work
    first: CompletionRequest
    parse: Callable[[Completion], ParsedT]
    tally: Tally
    record: Callable[[], Awaitable[None]]
    repaired: set[str] = field(default_factory=set[str])
    passing: int = 0
    thought: bool = False

    async def make(self) -> Answer[ParsedT]:
        caller, health = self.caller, self.caller.health
        pauses = _Pauses(
            caller.settings, caller.chance, caller.strategy.holds_refusals, health=health
        )
        bound = max(self.first.max_tokens, health.bound, health.bounds.get(self.first.step, 0))
        if caller.settings.max_tokens is not None:
            bound = min(bound, caller.settings.max_tokens)
        if bound != self.first.max_tokens:
            self.first = replace(self.first, max_tokens=bound)
        request = self.first
        answers = health.answers
        before, recorded = self.tally.attempts, self.tally.tokens
        while True:
            if caller.skip():
                raise ModelDown
            if self.tally.tokens > recorded:
                # A crash during the next attempt must not forget what the earlier ones cost.
                await self.record()
                recorded = self.tally.tokens
            try:
                attempt = replace(
                    self.work,
                    attempt=self.tally.attempts - before + 1,
                    tokens=request.estimated_tokens(),
                    cost=caller.settings.cost(
                        request.estimated_prompt_tokens(), request.max_tokens
                    ),
                )
                completion = await caller.attempt(attempt, request, self.tally)
                value = self._parsed(completion)
            except Refused as refusal:
                caller.state.rest()
                await pauses.after_refusal(refusal)
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
                health.doubted(error)
                again = None if error.kind in self.repaired else next_request(self.first, error)
                if again is None or len(self.repaired) >= MOST_REPAIRS:
                    raise self._unusable(error) from None
                self.repaired.add(error.kind)
                self.thought = self.thought or (error.kind == "truncated" and not error.answer)
                request = again
            else:
                health.usable += 1
                if request.max_tokens > bound:  # a bound that was too small is paid for once
                    if self.thought:
                        health.bound = max(health.bound, request.max_tokens)
                    else:
                        health.bounds[request.step] = request.max_tokens
                return Answer(value, completion.model)

    def _parsed(self, completion: Completion) -> ParsedT:
        try:
            return self.parse(completion)
        except UnusableAnswer as error:
            self.caller.state.gauges.attempts[self.work.key].failed(error)
            raise

    def _count_passing(self, error: Transient) -> None:
        self.passing += 1
        if self.passing >= self.caller.settings.attempts:
            reason = f"{self.passing} attempts failed, the last: {error}"
            raise CallFailed(reason) from None

    def _failed(self, error: Fatal) -> CallFailed:
        return CallFailed(str(error), pattern=_pattern(error))

    def _unusable(self, error: UnusableAnswer) -> CallFailed:
        again = " again, after a repair" if self.repaired else ""
        advice = f"; {error.advice}" if error.advice else ""
        if self.repaired and not advice:
            advice = "; try a larger model"
        if error.kind == "truncated" and repeats_itself(error.answer):
            advice = "; the model repeats itself: use a larger model"
        return CallFailed(
            f"{error}{again}{advice}",
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

    async def after_refusal(self, refusal: Refused) -> None:
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
            raise CallFailed(reason)
        self.refused_for += wait
        if not self.held:
            await asyncio.sleep(wait)

    def _jitter(self) -> float:
        bound = min(
            self.settings.max_backoff, self.settings.backoff * 2.0 ** min(self.failures, 30)
        )
        self.failures += 1
        return self.chance.uniform(0.0, bound)
