"""What the finish reasons of servers mean."""

from enum import StrEnum


class Finish(StrEnum):
    """How an answer ended."""

    STOP = "the answer is complete"
    TRUNCATED = "the answer is cut off"
    REFUSED = "the model or a filter refused"
    TRANSIENT = "the server failed; the call is tried again"


#: Compared in lower case, without a prefix such as ``FINISH_REASON_``.
FINISH_REASONS: dict[Finish, tuple[str, ...]] = {
    Finish.STOP: (
        "stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_token", "complete",
        "completed", "end", "done", "finished", "finish", "normal", "tool_calls", "tool_call",
        "tool_use", "function_call",
    ),
    Finish.TRUNCATED: (
        "length", "max_tokens", "max_length", "max_output_tokens", "max_completion_tokens",
        "model_length", "model_context_window_exceeded", "context_length_exceeded", "token_limit",
        "limit", "error_limit", "incomplete",
    ),
    Finish.REFUSED: (
        "content_filter", "content_filtered", "safety", "image_safety", "recitation", "refusal",
        "blocklist", "prohibited_content", "spii", "language", "sensitive", "guardrail_intervened",
        "guardrails", "error_toxic", "toxic", "violation", "moderation", "model_armor",
    ),
    Finish.TRANSIENT: (
        "error", "unspecified", "other", "unknown", "abort", "aborted", "cancelled", "canceled",
        "timeout", "time_limit", "network_error", "server_error", "internal_error", "overloaded",
        "insufficient_system_resource", "malformed_function_call", "unexpected_tool_call",
        "pause_turn", "unload", "repetition", "function_call_filter",
    ),
}  # fmt: skip

_MEANING = {name: finish for finish, names in FINISH_REASONS.items() for name in names}


def meaning(reason: object, *, whole: bool, empty: bool) -> Finish:
    """What a finish reason means.

    Args:
        reason: as the server sent it.
        whole: whether the text is what was asked for, for example one whole JSON object.
        empty: whether there is no text.

    An unknown or missing reason means ``STOP`` if the text is whole, ``TRANSIENT`` if there is
    no text, else ``TRUNCATED``.
    """
    name = reason.strip().lower().removeprefix("finish_reason_") if isinstance(reason, str) else ""
    found = _MEANING.get(name)
    if found is not None:
        return found
    if whole:
        return Finish.STOP
    return Finish.TRANSIENT if empty else Finish.TRUNCATED
