"""Rules that every store applies in the same way."""

from collections.abc import Mapping

from paceline.contracts.storage.records import ConceptStatus, ResumeOnly, Run, RunStatus
from paceline.errors import KeyReused, RunConflict, RunInWork, RunNotFound

#: Status of a concept after its run is resumed, by its status before. Others stay as they are.
RESUMED: Mapping[ResumeOnly | None, Mapping[ConceptStatus, ConceptStatus]] = {
    None: {"failed": "pending", "skipped": "pending"},
    "failed": {"failed": "pending", "pending": "skipped"},
    "missing": {"skipped": "pending"},
}


def reduced_pool_size(free: int, processes: int) -> int:
    """Connections for each of several new processes that do not fit with full pools.

    Together they get half of the free connections, so that more processes can start later: a
    smaller pool costs little, but a worker that cannot start does nothing. Returns 0 if there
    is less than one free connection for each process.
    """
    return 0 if free < processes else max(1, free // 2 // processes)


def run_not_found_error(run_id: str) -> RunNotFound:
    """The error for an unknown run id."""
    return RunNotFound(f"no run has the id {run_id!r}")


def run_conflict_error(run: Run, content_hash: str) -> RunConflict:
    """The error for a roadmap if ``run`` is its newest run and has another identity."""
    differs = "other content" if run.content_hash != content_hash else "another context"
    return RunConflict(
        f"roadmap {run.roadmap_id!r} already has a run with {differs} (run {run.run_id}); "
        "use --adopt to start a new run that takes over unchanged content, or --new"
    )


def key_reused_error(run: Run) -> KeyReused:
    """The error for a key if ``run`` was created under it with another submission."""
    return KeyReused(
        f"the key was already used for run {run.run_id}, with another roadmap, context, tenant "
        "or weight"
    )


def run_in_work_error(run: Run) -> RunInWork:
    """The error for a change that needs a run without a worker."""
    return RunInWork(
        f"run {run.run_id} is {run.status}: pause or cancel it first, or wait until it has ended"
    )


def poison_reason(lost: int) -> str:
    """The reason of a run that failed because it lost ``lost`` owners in a row."""
    workers = "1 worker was" if lost == 1 else f"{lost} workers in a row were"
    return f"stopped retrying: {workers} lost without saving anything"


def requested_status(pause_requested: str | None, *, cancel: bool) -> tuple[RunStatus, str | None]:
    """Status and reason of a run that its owner left, by the requests that were made."""
    if cancel:
        return "cancelled", None
    return ("queued", None) if pause_requested is None else ("paused", pause_requested)
