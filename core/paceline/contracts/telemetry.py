"""The contract of telemetry: traces and metrics of one process.

Core calls it when work starts and ends. Without telemetry, all spans are one shared object that
does nothing, so none is created.
"""

import asyncio
import hashlib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

from paceline.contracts.admission.work import Work
from paceline.contracts.call_counts import BOUNDS, CallCounts, Durations
from paceline.contracts.identity import run_id_bits
from paceline.contracts.provider import Completion, CompletionRequest
from paceline.contracts.storage.records import Claim, PoolFigures, Run, RunStatus
from paceline.contracts.storage.spending import Spent
from paceline.errors import ProviderError, Refused

#: Where the names of kinds of failures come from. A plugin's own error counts as its base class,
#: so that the number of kinds is bounded.
_KINDS = ProviderError.__module__


class InFlight:
    """The calls of one run in flight, and an estimate of what they will cost."""

    __slots__ = ("answer_tokens", "calls", "cost", "priced", "prompt_tokens")

    def __init__(self) -> None:
        self.calls = self.prompt_tokens = self.answer_tokens = self.priced = 0
        self.cost = 0.0

    def spent(self) -> Spent:
        """The estimate as a record."""
        return Spent(
            attempts=self.calls,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.answer_tokens,
            cost=self.cost if self.priced else None,
            estimated=True,
        )


class Histogram:
    """Counts durations in the buckets of ``BOUNDS``."""

    __slots__ = ("_buckets", "_seconds")

    def __init__(self) -> None:
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._buckets[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def durations(self) -> Durations:
        """The counts as a record."""
        return Durations(buckets=tuple(self._buckets), seconds=round(self._seconds, 6))


class Attempts:
    """Counts attempts at one model."""

    __slots__ = ("_answered", "_failed", "_refused")

    def __init__(self) -> None:
        self._answered = Histogram()
        self._failed: Counter[str] = Counter()
        self._refused = 0

    def answered(self, seconds: float) -> None:
        """Count a whole answer."""
        self._answered.add(seconds)

    def failed(self, error: ProviderError) -> None:
        """Count an attempt that was refused or failed."""
        if isinstance(error, Refused):
            self._refused += 1
            return
        kinds = (one.__name__ for one in type(error).__mro__ if one.__module__ == _KINDS)
        self._failed[next(kinds)] += 1

    def counts(self) -> CallCounts:
        """The counts as a record."""
        return CallCounts(
            answered=self._answered.durations(), refused=self._refused, failed=dict(self._failed)
        )


class _Wait:
    """One wait for admission: a context manager."""

    __slots__ = ("_began", "_gauges", "_level")

    def __init__(self, gauges: "Gauges", level: str) -> None:
        self._gauges, self._level = gauges, level

    def __enter__(self) -> None:
        self._gauges.waiting += 1
        self._began = asyncio.get_running_loop().time()

    def __exit__(self, kind: object, error: BaseException | None, trace: object, /) -> None:
        self._gauges.waiting -= 1
        if error is None:
            self._gauges.waits[self._level].add(asyncio.get_running_loop().time() - self._began)


class Gauges:
    """Counters of one worker process.

    Attributes:
        runs: ids of the runs in work.
        concepts: concepts in flight: admitted and not finished.
        calls: LLM attempts in flight: admitted and not answered.
        in_flight: an estimate of what the calls in flight will cost, by run id.
        fallbacks: answers that a model of a chain other than the first one gave.
        trouble: why calls of a run wait, in the provider's words, by run id.
        waiting: concepts, calls and uses of resources that wait for admission.
        waits: how long those that were admitted waited, by ``concept``, ``call`` and ``resource``.
        attempts: the attempts at each model, by its key.
        refusals: attempts that the provider refused.
        saved: artifacts saved.
        events: events published.
        delivered: deliveries that sinks have accepted, by sink.
        dead_letters: deliveries that sinks rejected too often, by sink.
    """

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self.concepts = 0
        self.calls = 0
        self.in_flight: dict[str, InFlight] = {}
        self.fallbacks = 0
        self.trouble: dict[str, str] = {}
        self.waiting = 0
        self.waits: dict[str, Histogram] = defaultdict(Histogram)
        self.attempts: dict[str, Attempts] = defaultdict(Attempts)
        self.refusals = 0
        self.saved = 0
        self.events = 0
        self.delivered: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()

    @contextmanager
    def call(
        self, run_id: str, prompt_tokens: int, answer_tokens: int, cost: float | None = None
    ) -> Generator[None]:
        """Count one LLM attempt in flight within ``with``; ``answer_tokens`` is an estimate."""
        self._add_calls(run_id, 1, prompt_tokens, answer_tokens, cost)
        try:
            yield
        finally:
            self._add_calls(run_id, -1, prompt_tokens, answer_tokens, cost)

    def _add_calls(
        self, run_id: str, calls: int, prompt_tokens: int, answer_tokens: int, cost: float | None
    ) -> None:
        self.calls += calls
        flight = self.in_flight.get(run_id)
        if flight is None:
            flight = self.in_flight[run_id] = InFlight()
        flight.calls += calls
        flight.prompt_tokens += calls * prompt_tokens
        flight.answer_tokens += calls * answer_tokens
        if cost is not None:
            flight.priced += calls
            flight.cost += calls * cost
        if not flight.calls:
            del self.in_flight[run_id]

    def wait(self, level: str) -> AbstractContextManager[None]:
        """Count one wait for admission within ``with``, and how long it took if it succeeds."""
        return _Wait(self, level)


class Span:
    """Work that starts, ends and may fail; a context manager. This one records nothing."""

    __slots__ = ()

    def __enter__(self) -> "Span":
        """Start."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object, /) -> None:
        """End, with the exception if there was one."""

    def answered(self, completion: Completion) -> None:
        """The attempt returned a whole answer."""

    def charged(self, error: ProviderError) -> None:
        """The attempt failed, and the provider charged its tokens all the same."""

    def submitted(self, run: Run, outcome: str) -> None:
        """The submission led to this run."""

    def failed(self) -> None:
        """The work failed, and the failure was recorded."""

    def ended(self, status: RunStatus) -> None:
        """The run has this status now; ``queued`` means that it was handed back."""


_SILENT = Span()


class Telemetry:
    """Records what one process does. This one, the default, records nothing.

    Spans nest by the task that enters them: run, concept, step, and in a step ``admit``,
    ``attempt`` and ``save``. No method may raise or block.
    """

    def watch(self, gauges: Gauges, pool: Callable[[], PoolFigures]) -> None:
        """Read gauges and connection pool from now on, until ``close``."""

    def submit(self) -> Span:
        """A client creates or continues a run."""
        return _SILENT

    def run(self, claim: Claim) -> Span:
        """A worker works on a claimed run."""
        return _SILENT

    def concept(self, claim: Claim, concept_id: str) -> Span:
        """A concept's task works on it."""
        return _SILENT

    def step(self, step: str) -> Span:
        """A step makes an artifact, with all attempts."""
        return _SILENT

    def admit(self, work: Work) -> Span:
        """Work waits for admission."""
        return _SILENT

    def attempt(self, work: Work, request: CompletionRequest) -> Span:
        """One call to the provider is in flight."""
        return _SILENT

    def use(self, work: Work) -> Span:
        """A step uses a resource; ``work.key`` names it, as in ``resource:search``."""
        return _SILENT

    def save(self, step: str) -> Span:
        """An artifact is being committed."""
        return _SILENT

    async def close(self) -> None:
        """Flush what was recorded, within seconds."""


#: For processes without telemetry.
OFF = Telemetry()


def trace_id_of(run_id: str) -> str:
    """The id of a run's trace, 32 hexadecimal digits: the run id's own 128 bits.

    Every process finds the trace by the run id, which is all that a message carries. So the
    trace survives a flushed broker, a lost worker and a resume weeks later. An id that is not
    a ULID is hashed.
    """
    number = run_id_bits(run_id)
    if not number:
        number = int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:16])
    return f"{number:032x}"
