"""The client: submit, resume, cancel, follow and read runs. CLI, API and programs use it."""

from collections.abc import AsyncIterator, Sequence
from typing import Literal

from paceline.client.follow import follow
from paceline.contracts.events import Event
from paceline.contracts.records import ENDED, Artifact, ResumeOnly, Run, RunStatus
from paceline.contracts.share import DEFAULT_SHARE, Share
from paceline.errors import UsageError
from paceline.roadmaps.model import Roadmap
from paceline.runtime.parts import ClientParts
from paceline.runtime.recovery import recover

#: What a submission led to: a new run, an unfinished run that continues, a run that a worker
#: works on already, or a run with nothing left to do.
Submitted = Literal["created", "resumed", "attached", "complete"]


class NothingToResume(UsageError):
    """The run has not ended, or none of its concepts is in the state that was asked for."""


class Client:
    """Submits, steers, follows and reads runs. Open one with ``App.client``.

    Args:
        parts: the parts of this process.
        worker_id: id of the worker that works with the same parts, if there is one.

    Attributes:
        settings: the effective settings.
        store: where runs are kept.
        executor: where runs are submitted.
        bus: the event bus.
        telemetry: traces and metrics.
    """

    def __init__(self, parts: ClientParts, *, worker_id: str | None = None) -> None:
        self.settings = parts.settings
        self.store = parts.store
        self.executor = parts.executor
        self.bus = parts.bus
        self.telemetry = parts.telemetry
        self._worker_id = worker_id

    async def submit(
        self,
        roadmap: Roadmap,
        *,
        new: bool = False,
        key: str | None = None,
        share: Share = DEFAULT_SHARE,
    ) -> tuple[Run, Submitted]:
        """Generate a roadmap's content, or continue an earlier run of the same roadmap.

        Args:
            roadmap: the roadmap to generate.
            new: start a new run even if the roadmap already has one.
            key: idempotency key of this submission. A second submission with the same key
                returns the same run and does not resume it.
            share: tenant and weight of the run. An existing run keeps its own.

        Raises:
            RunConflict: the roadmap id already has a run with other content; see ``new``.
            KeyReused: the key belongs to a run with other content or another share.
            PartUnavailable: the store or the broker cannot be reached.
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
            # Again even if it was created before: the broker may not have the message.
            await self.executor.submit(run.run_id)
        if created:
            return run, "created"
        if key is not None:
            return run, "complete" if run.status == "completed" else "attached"
        return await self._resume(run.run_id)

    async def resume(self, run_id: str, *, only: ResumeOnly | None = None) -> tuple[Run, Submitted]:
        """Continue a run: artifacts stay, failed and missing concepts are generated.

        If the run's worker is gone, the run is taken over. If the worker is alive, the run
        is left to it.

        Args:
            run_id: the run.
            only: generate only the concepts that ``failed``, or only those that are
                ``missing`` because the run ended before them. The others stay as they are.

        Raises:
            RunNotFound: there is no such run.
            NothingToResume: ``only`` is given and the run has not ended, or it has no such
                concept.
            PartUnavailable: the store or the broker cannot be reached.
        """
        if only is not None:
            await self.check_resumable(await self.store.run(run_id), only)
        with self.telemetry.submit() as span:
            resumed = await self._resume(run_id, only)
            span.submitted(*resumed)
            return resumed

    async def _resume(self, run_id: str, only: ResumeOnly | None = None) -> tuple[Run, Submitted]:
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
        run = await self.store.reopen(run_id, executor=self.settings.executor, only=only)
        if run.status == "queued":
            # Submit again even if it was queued: the broker may have lost the message, and
            # submitting twice runs it once.
            await self.executor.submit(run_id)
        return run, what

    async def check_resumable(self, run: Run, only: ResumeOnly) -> None:
        """Check that a run has ended and has such concepts.

        Raises:
            NothingToResume: it has not, or it has none.
        """
        if run.status not in ENDED:
            raise NothingToResume(
                f"run {run.run_id} is {run.status}: --{only}-only needs a run that has ended"
            )
        found = await self.store.concepts(
            run.run_id, status=("failed",) if only == "failed" else ("pending", "skipped"), limit=1
        )
        if not found:
            raise NothingToResume(f"run {run.run_id} is {run.status} and has no {only} concept")

    async def cancel(self, run_id: str) -> Run:
        """Cancel a run: at once if it is queued, within seconds if a worker works on it.

        Raises:
            RunNotFound: there is no such run.
        """
        run = await self.store.request_cancel(run_id)
        await self.executor.cancel(run_id)
        return run

    async def follow(self, run_id: str, *, after: str | None = None) -> AsyncIterator[Event]:
        """Events of a run until its last one; the first event is a snapshot.

        If the bus is silent or unreachable, the client asks the store, so it always sees the
        end.

        Args:
            run_id: the run.
            after: position of the last event that was seen; then no snapshot comes first.

        Raises:
            RunNotFound: there is no such run.
            PartUnavailable: the store cannot be reached, at the start or for two minutes.
        """
        run = await self.store.run(run_id)
        # A bus in memory carries only the events of this process's own worker.
        elsewhere = run.status == "running" and run.owner != self._worker_id
        carries = self.bus.shared or (self._worker_id is not None and not elsewhere)
        bus = self.bus if carries else None
        async for event in follow(self.store, bus, run_id, after=after):
            yield event

    async def wait(self, run_id: str) -> Run:
        """Wait until a run has ended, and return it. Raises as ``follow``."""
        async for _ in self.follow(run_id):
            pass
        return await self.store.run(run_id)

    async def run(self, run_id: str) -> Run:
        """One run.

        Raises:
            RunNotFound: there is no such run.
        """
        return await self.store.run(run_id)

    async def runs(
        self,
        *,
        status: Sequence[RunStatus] = (),
        roadmap_id: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Run]:
        """Runs, newest first.

        Args:
            status: only runs with one of these statuses.
            roadmap_id: only runs of this roadmap.
            limit: maximum number of runs.
            before: only runs older than the run with this id.
        """
        return await self.store.runs(
            status=status, roadmap_id=roadmap_id, limit=limit, before=before
        )

    async def artifacts(self, run_id: str, *, concept_id: str | None = None) -> Sequence[Artifact]:
        """Artifacts of a run with their content, ordered by concept and time."""
        return await self.store.artifacts(run_id, concept_id=concept_id)
