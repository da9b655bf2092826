"""What a user asks of paceline: submit, resume, cancel. The same for command line and code."""

from dataclasses import dataclass
from typing import Literal

from paceline.executor import Executor
from paceline.recovery import recover
from paceline.roadmap import Roadmap
from paceline.settings.model import Settings
from paceline.store import Run, Store
from paceline.telemetry import OFF, Telemetry

#: What submitting came to: a new run, an unfinished one continued, one that is being worked
#: on already, or one that has nothing left to do.
Submitted = Literal["created", "resumed", "attached", "complete"]


@dataclass(frozen=True, slots=True)
class Service:
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

    async def submit(self, roadmap: Roadmap, *, new: bool = False) -> tuple[Run, Submitted]:
        """Generate a roadmap's content, or go on where an earlier run of it stopped.

        Args:
            roadmap: what to generate.
            new: start another run even if there is one.

        Raises:
            RunConflict: the roadmap id is known with other content, and ``new`` is not asked.
            PartUnavailable: store or broker cannot be reached.
        """
        with self.telemetry.submit() as span:
            submitted = await self._submit(roadmap, new=new)
            span.submitted(*submitted)
            return submitted

    async def _submit(self, roadmap: Roadmap, *, new: bool) -> tuple[Run, Submitted]:
        run, created = await self.store.create_run(
            roadmap, executor=self.settings.executor, new=new
        )
        if created:
            await self.executor.submit(run.run_id)
            return run, "created"
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

    async def cancel(self, run_id: str) -> Run:
        """Cancel a run: at once if it waits, within seconds if it is being worked on.

        Raises:
            RunNotFound: there is no such run.
        """
        run = await self.store.request_cancel(run_id)
        await self.executor.cancel(run_id)
        return run
