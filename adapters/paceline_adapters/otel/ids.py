"""The ids of a run's trace, and of the spans of its submission and of each claim."""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, TraceFlags
from paceline.contracts.telemetry import trace_id_of

_chosen: ContextVar[SpanContext | None] = ContextVar("paceline_chosen_span", default=None)


class RunIds(RandomIdGenerator):
    """Generates random ids, except for a span with ids that were chosen before."""

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
    """Give these ids to the one span that is started in the block."""
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)


def span_of(run_id: str, claim: int, *, sampled: bool) -> SpanContext:
    """The span of a run's submission (claim 0), or of the claim with this fence.

    Every process computes the same ids, so a message needs no more than the run's id.
    """
    name = f"{run_id}/{claim}".encode()
    return SpanContext(
        trace_id=int(trace_id_of(run_id), 16),
        span_id=int.from_bytes(hashlib.sha256(name).digest()[:8]) or 1,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT),
    )
