"""Making one artifact: the step, again after passing failures, and the checks."""

import asyncio
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel

from paceline.calls.llm_call import CallFailed
from paceline.calls.tally import Tally
from paceline.calls.trace import Trace
from paceline.contracts.steps.step import Step
from paceline.contracts.storage.records import Artifact
from paceline.errors import (
    Fatal,
    PacelineError,
    PartUnavailable,
    ProviderUnusable,
    Refused,
    RunPaused,
    StaleFence,
    Transient,
    first_cause,
)
from paceline.generation.step_context import RunningStep

if TYPE_CHECKING:
    from paceline.generation.concept_task import ConceptTask

log = logging.getLogger("paceline.pipeline")


class MakingStep:
    """One step of one concept in work.

    Attributes:
        tally: what its calls cost.
        trace: when they waited and were in flight.
        journal: the results that it recorded.
    """

    def __init__(self, task: "ConceptTask", name: str, step: Step) -> None:
        self._task = task
        self._name = name
        self._step = step
        run, concept_id = task.run, task.concept.concept_id
        revision = self._revision = task.revisions.get(name)
        self.journal = task.journal
        self.tally = tally = Tally()
        self.trace = trace = Trace()

        async def record() -> None:  # not a method: a cycle would be left to the collector
            await run.parts.store.charge(run.claim, run.charge(concept_id, name, tally, trace))

        self._context = RunningStep(
            name=name,
            step=step,
            parts=run.parts,
            work=task.work("call", name),
            state=task.state,
            health=run.health,
            journal=self.journal,
            note=lambda note: run.progress.note(concept_id, name, note),
            record=record,
            tally=tally,
            trace=trace,
            current=task.current(name),
            instruction=None if revision is None else revision.instruction,
            revises=revision is not None,
            ids=frozenset({run.roadmap.roadmap_id, concept_id}),
        )

    async def artifact(self) -> tuple[Artifact, BaseModel]:
        """Make the answer, and check it.

        Raises:
            CallFailed: the step failed for good.
            ProviderUnusable: no call can succeed.
        """
        context = self._context
        self.trace.begin(self._task.take_wait())
        answer = await self._checked(await self._make())
        spent = context.tally.spent()
        artifact = Artifact(
            concept_id=self._task.concept.concept_id,
            step=self._name,
            content=answer.model_dump_json(),
            model=context.wrote[-1] if context.wrote else "",
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            cost=spent.cost,
            seconds=self.trace.seconds,
            attempts=spent.attempts,
            estimated=spent.estimated,
            fallback=None if context.fallback is None else context.fallback[:_REASON],
            prompt_hash=context.prompt_hash,
            input_hash=self._task.inputs.hash(self._name),
            phases=tuple(self.trace.phases),
        )
        if self._revision is not None:
            artifact = replace(
                artifact,
                instruction=self._revision.instruction,
                tenant=self._revision.tenant,
                requested_by=self._revision.requested_by,
            )
        return artifact, answer

    async def _checked(self, answer: BaseModel) -> BaseModel:
        """Run the checks; if they find problems, make the step once more with them."""
        checks = self._task.run.parts.checks.get(self._name, ())
        if not checks:
            return answer
        answer, problems = await self._check(answer)
        if problems:
            self._context.previous, self._context.problems = answer, problems
            answer, problems = await self._check(await self._make())
        if problems:
            raise CallFailed(
                f"a check found problems again: {'; '.join(problems)}", answer.model_dump_json()
            )
        return answer

    async def _check(self, answer: BaseModel) -> tuple[BaseModel, list[str]]:
        problems: list[str] = []
        for name, check in self._task.run.parts.checks[self._name]:
            try:
                result = await check.check(answer, self._task.subject(), self._context)
            except (CallFailed, ProviderUnusable, RunPaused, StaleFence, PartUnavailable):
                raise
            except Exception as error:
                raise self._broken(f"check {name}", error) from error
            answer = result.answer
            problems += result.problems
        return answer, problems

    async def _make(self) -> BaseModel:
        """Make the answer, again after failures that may pass."""
        settings = self._task.run.parts.settings.provider
        since, failures = asyncio.get_running_loop().time(), 0
        while True:
            try:
                return await self._made()
            except (Refused, Transient) as error:
                failures += 1
                now = asyncio.get_running_loop().time()
                pause = min(settings.backoff * 2.0 ** min(failures - 1, 30), settings.max_backoff)
                if isinstance(error, Refused):
                    pause = max(pause, min(error.retry_after or 0.0, settings.max_backoff))
                    if now + pause > since + settings.patience:
                        raise CallFailed(f"refused for {now - since:.0f} s: {error}") from None
                elif failures >= settings.attempts:
                    raise CallFailed(f"{failures} attempts failed, the last: {error}") from None
                self._task.state.rest()
                await asyncio.sleep(pause)

    async def _made(self) -> BaseModel:
        step = self._step
        try:
            answer = await step.make(self._task.subject(), self._context)
        except Exception as raised:
            error = first_cause(raised)  # a step may make calls in a task group
            if isinstance(error, _HANDLED):
                raise error from None
            if isinstance(error, Fatal):
                raise CallFailed(str(error)) from None
            raise self._broken(f"step {self._name}", error) from raised
        if not isinstance(answer, step.answer):
            raise CallFailed(
                f"step {self._name} must return {step.answer.__name__}, returned "
                f"{type(answer).__name__}",
                pattern=f"type {self._name}",
            )
        return answer

    def _broken(self, what: str, error: BaseException) -> CallFailed:
        """A failure of a plugin's code: it fails the concept, not the run."""
        log.error("%s failed", what, exc_info=error)
        text = str(error) or type(error).__name__
        kind = "" if isinstance(error, PacelineError) else f"{type(error).__name__}: "
        return CallFailed(
            f"{what}: {kind}{text}",
            pattern=f"{what} {type(error).__name__} {_DIGITS.sub('', text)[:80]}",
        )


#: Failures that the run or the loop around a step handles.
_HANDLED = (
    *(CallFailed, ProviderUnusable, RunPaused, StaleFence),
    *(PartUnavailable, Refused, Transient),
)
_DIGITS = re.compile(r"\d+")
_REASON = 1000
