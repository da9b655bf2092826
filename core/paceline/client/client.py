"""What a user asks of paceline: submit, resume, cancel. The same for command line and code."""

from dataclasses import dataclass
from typing import Literal

from paceline.contracts.executor import Executor
from paceline.contracts.records import ENDED, ConceptState, Run
from paceline.contracts.share import EQUAL, Share
from paceline.contracts.store import Store
from paceline.contracts.telemetry import OFF, Telemetry
from paceline.errors import UsageError
from paceline.roadmaps.model import Roadmap
from paceline.runtime.recovery import recover
from paceline.settings.model import Settings

#: What submitting came to: a new run, an unfinished one continued, one that is being worked
#: on already, or one that has nothing left to do.
Submitted = Literal["created", "resumed", "attached", "complete"]


class NothingToRetry(UsageError):
    """A run is not over, or nothing of it failed."""


@dataclass(frozen=True, slots=True)
class Retried:
    """A run that was queued again.

    Attributes:
        run: as it stands now.
        letters: its concepts that had failed for good.
        missing: concepts that were never finished.
    """

    run: Run
    letters: tuple[ConceptState, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class Client:
    """Submits runs and steers them.

    Attributes:
        settings: the effective settings.
        store: where runs stand, opened.
        executor: where they are handed to.
        telemetry: told of submissions.
    """

    settings: Settings
    store: Store
    executor: Executor
    telemetry: Telemetry = OFF

    async def submit(
        self,
        roadmap: Roadmap,
        *,
        new: bool = False,
        key: str | None = None,
        share: Share = EQUAL,
    ) -> tuple[Run, Submitted]:
        """Generate a roadmap's content, or go on where an earlier run of it stopped.

        Args:
            roadmap: what to generate.
            new: start another run even if there is one.
            key: names this submission: sent again, it is the same run, and not resumed.
            share: whose the run is; one that is there already keeps its own.

        Raises:
            RunConflict: the roadmap id is known with other content, and ``new`` is not asked.
            KeyReused: the key's run has other content or another share.
            PartUnavailable: store or broker cannot be reached.
        """
        with self.telemetry.submit() as span:
            submitted = await self._submit(roadmap, new=new, key=key, share=share)
            span.submitted(*submitted)
            return submitted

    async def _submit(
        self, roadmap: Roadmap, *, new: bool, key: str | None, share: Share
    ) -> tuple[Run, Submitted]:
        run, created = await self.store.create_run(
            roadmap, executor=self.settings.executor, new=new, key=key, share=share
        )
        if created or (key is not None and run.status == "queued"):
            # Again even if it was created before: the broker may not have been told.
            await self.executor.submit(run.run_id)
        if created:
            return run, "created"
        if key is not None:
            return run, "complete" if run.status == "completed" else "attached"
        return await self._resume(run.run_id)

    async def resume(self, run_id: str) -> tuple[Run, Submitted]:
        """Go on with a run: what it has stays, what failed or is missing is made.

        A run whose owner is gone is taken over; one that lives is left alone.

        Raises:
            RunNotFound: there is no such run.
            PartUnavailable: store or broker cannot be reached.
        """
        with self.telemetry.submit() as span:
            resumed = await self._resume(run_id)
            span.submitted(*resumed)
            return resumed

    async def _resume(self, run_id: str) -> tuple[Run, Submitted]:
        run = await self.store.run(run_id)
        if run.status == "completed":
            return run, "complete"
        what: Submitted = "resumed"
        if run.status == "running":
            await recover(self.store, self.settings, None, run_id=run_id)
            run = await self.store.run(run_id)
            if run.status == "running":
                return run, "attached"
        elif run.status == "queued" and not run.fence:
            what = "attached"
        run = await self.store.reopen(run_id, executor=self.settings.executor)
        if run.status == "queued":
            # Again even if it was queued: a broker may have lost it, and twice is once.
            await self.executor.submit(run_id)
        return run, what

    @staticmethod
    def retriable(run: Run) -> None:
        """Check that a run can be retried.

        Raises:
            NothingToRetry: it is not over, or complete.
        """
        if run.status not in ENDED or run.status == "completed":
            over = run.status == "completed"
            raise NothingToRetry(
                f"run {run.run_id} is {run.status}: "
                + ("nothing failed" if over else "`paceline resume` gets it going")
                + "; allowed is partial, failed or cancelled"
            )

    async def retry(self, run_id: str) -> Retried:
        """Give the failed concepts of a run another chance, and say why they failed.

        Raises:
            RunNotFound: there is no such run.
            NothingToRetry: it is not over, or complete.
            PartUnavailable: store or broker cannot be reached.
        """
        self.retriable(await self.store.run(run_id))
        states = await self.store.concepts(run_id)
        now, _ = await self.resume(run_id)
        letters = tuple(one for one in states if one.status == "failed")
        return Retried(now, letters, sum(one.status == "pending" for one in states))

    async def cancel(self, run_id: str) -> Run:
        """Cancel a run: at once if it waits, within seconds if it is being worked on.

        Raises:
            RunNotFound: there is no such run.
        """
        run = await self.store.request_cancel(run_id)
        await self.executor.cancel(run_id)
        return run
