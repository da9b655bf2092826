"""The contract of telemetry: what a process tells of its work, while it does it.

Core calls it where things begin and end. By default nobody listens: a span is then one shared
object whose entry and exit do nothing, and nothing is made for it.
"""

import hashlib
from collections.abc import Callable
from typing import Self

from paceline.contracts.identity import as_number
from paceline.contracts.provider import Completion, CompletionRequest
from paceline.contracts.records import Claim, PoolFigures, Run, RunStatus
from paceline.contracts.work import Work


class Gauges:
    """Counters of one worker process.

    Attributes:
        runs: ids of the runs in work.
        concepts: concepts in flight: admitted and not finished.
        calls: LLM attempts in flight: admitted and not answered.
        waiting: concepts and calls that wait for admission.
        refusals: attempts that the provider refused.
        saved: artifacts saved.
        events: events published.
    """

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self.concepts = 0
        self.calls = 0
        self.waiting = 0
        self.refusals = 0
        self.saved = 0
        self.events = 0

    def wait(self) -> "Gauges":
        """Count one wait for admission within ``with``."""
        return self

    def __enter__(self) -> Self:
        self.waiting += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.waiting -= 1


class Span:
    """Something that begins, ends, and may fail; a context manager. This one tells nobody."""

    __slots__ = ()

    def __enter__(self) -> "Span":
        """Begin."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object, /) -> None:
        """End, with what was raised."""

    def answered(self, completion: Completion) -> None:
        """An attempt brought a whole answer."""

    def submitted(self, run: Run, outcome: str) -> None:
        """A submission came to this run."""

    def failed(self) -> None:
        """What the span is of failed, and was recorded as failed."""

    def ended(self, status: RunStatus) -> None:
        """A run ends with this status; ``queued`` is handed back."""


_SILENT = Span()


class Telemetry:
    """Hears what one process does; this one, the default, hears nothing.

    Spans nest by the task that enters them: run, concept, step, and in a step ``admit``,
    ``attempt`` and ``save``. No method may raise or block.
    """

    def watch(self, gauges: Gauges, pool: Callable[[], PoolFigures]) -> None:
        """Take figures from here, for as long as the process works."""

    def submit(self) -> Span:
        """A run is about to be created, or continued, by whoever asks for it."""
        return _SILENT

    def run(self, claim: Claim) -> Span:
        """A claimed run is worked on."""
        return _SILENT

    def concept(self, claim: Claim, concept_id: str) -> Span:
        """A concept's task works."""
        return _SILENT

    def step(self, step: str) -> Span:
        """An artifact is made, all attempts included."""
        return _SILENT

    def admit(self, work: Work) -> Span:
        """Work waits for admission."""
        return _SILENT

    def attempt(self, work: Work, request: CompletionRequest) -> Span:
        """One call to the provider is in flight."""
        return _SILENT

    def save(self, step: str) -> Span:
        """An artifact is being committed."""
        return _SILENT

    async def close(self) -> None:
        """Hand over what is still to be told, within seconds."""


#: For processes that nobody observes.
OFF = Telemetry()


def trace_id_of(run_id: str) -> str:
    """The id of a run's trace, 32 hexadecimal digits: the run id's own 128 bits.

    So every process finds the trace by the run id, the only thing that a message carries, and
    it outlasts a flushed broker, a lost worker and a resumption weeks later. An id that is
    no ULID is hashed.
    """
    number = as_number(run_id)
    if not number:
        number = int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:16])
    return f"{number:032x}"
