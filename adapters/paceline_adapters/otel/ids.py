"""Which trace a run is, and which span its submission and each claim of it are."""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, TraceFlags
from paceline.contracts.telemetry import trace_id_of

_chosen: ContextVar[SpanContext | None] = ContextVar("paceline_chosen_span", default=None)


class RunIds(RandomIdGenerator):
    """Random ids, but those of a span that was chosen beforehand."""

    def generate_trace_id(self) -> int:
        """The chosen trace, or a random one."""
        chosen = _chosen.get()
        return super().generate_trace_id() if chosen is None else chosen.trace_id

    def generate_span_id(self) -> int:
        """The chosen span, or a random one."""
        chosen = _chosen.get()
        return super().generate_span_id() if chosen is None else chosen.span_id


@contextmanager
def choosing(chosen: SpanContext) -> Generator[None]:
    """The one span that is made within gets these ids."""
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)


def span_of(run_id: str, claim: int, *, sampled: bool) -> SpanContext:
    """The span of a run's submission (claim 0), or of one claim of it by its fence.

    Every process finds it without being told, so that the message carries the run's id only.
    """
    name = f"{run_id}/{claim}".encode()
    return SpanContext(
        trace_id=int(trace_id_of(run_id), 16),
        span_id=int.from_bytes(hashlib.sha256(name).digest()[:8]) or 1,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT),
    )
