"""What to ask after an answer that cannot be used."""

from dataclasses import replace

from paceline.contracts.provider import CompletionRequest, Message
from paceline.errors import UnusableAnswer
from paceline.steps.junk import repeats_itself

#: Maximum number of characters of an unusable answer that are kept or sent back.
KEPT_ANSWER = 20_000
#: Repairs of one call at most, each of another kind.
MOST_REPAIRS = 2
#: Tokens that a model which thinks before it writes may need.
THINKING = 32_768

_AGAIN = "Answer again, completely, with only the JSON that was asked for."


def next_request(request: CompletionRequest, error: UnusableAnswer) -> CompletionRequest | None:
    """The request that repairs an answer; ``None`` if nothing can.

    ============  ==============================================================================
    refusal       is final
    unreadable    the same request again: the model is not to blame
    truncated     the same request with a higher bound, or, if none is possible, a shorter answer;
                  nothing if the model repeats itself, because another answer would be as long
    empty         the request, and that nothing was written
    malformed     the request, the answer, and what is wrong with it
    ============  ==============================================================================
    """
    match error.kind:
        case "refusal":
            return None
        case "unreadable":
            return request
        case "truncated":
            if repeats_itself(error.answer):
                return None
            return _longer(request, error) or _shorter(request, error)
        case "empty":
            return _with(request, f"Your last answer was empty. {_AGAIN}")
        case _:
            complaint = f"That answer cannot be used: {error.problem}\n{_AGAIN}"
            return _with(request, complaint, error.answer[:KEPT_ANSWER])


def without_answer(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages without the answer that a repair quotes."""
    return tuple(message for message in messages if message.role != "assistant")


def _longer(request: CompletionRequest, error: UnusableAnswer) -> CompletionRequest | None:
    if _runs_away(error.answer):
        return None
    bound = 2 * request.max_tokens
    if not error.answer.strip():  # all of it were thoughts
        bound = max(2 * bound, THINKING)
    if error.highest is not None:
        bound = min(bound, error.highest)
    # Little more would be cut off again.
    return replace(request, max_tokens=bound) if bound >= 1.25 * request.max_tokens else None


def _shorter(request: CompletionRequest, error: UnusableAnswer) -> CompletionRequest:
    room = min(request.max_tokens, error.highest or request.max_tokens)
    return _with(
        request,
        f"Keep the whole answer below {max(room // 3, 50)} words, as compact JSON without blank "
        "lines: it must end with the closing brace. Write fewer and shorter parts.",
    )


def _runs_away(answer: str) -> bool:
    """Whether an answer is mostly white space."""
    return len(answer) > 1000 and len(answer.split()) * 20 < len(answer)


def _with(request: CompletionRequest, complaint: str, answer: str = "") -> CompletionRequest:
    said = (Message("assistant", answer),) if answer else ()
    return replace(request, messages=(*request.messages, *said, Message("user", complaint)))
