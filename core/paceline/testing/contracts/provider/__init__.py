"""What every provider guarantees: one attempt per call, the right error, no leaked secret."""

from paceline.testing.contracts.provider.base import Behaviour
from paceline.testing.contracts.provider.calls import ProviderCalls
from paceline.testing.contracts.provider.faults import ProviderFaults

__all__ = ["Behaviour", "ProviderContract"]


class ProviderContract(ProviderCalls, ProviderFaults):
    """Inherit from this suite and implement ``provider``.

    Declare the faults that you can provoke. The suite then asks ``provider`` for them.

    Declare:
        refuses: the server rejects calls for now, to be retried after ``retry_after`` seconds.
        fails: a temporary fault, such as status 500.
        away: the server is unreachable.
        rejects: the server never accepts this call, but accepts others.
        bars: the server accepts no call of this client, because of its key or its model.
        babbles: the server returns an unusable answer.
        hangs: the server accepts the call and never answers.
        counts: ``attempts`` returns the number of requests that the provider sent.
        watches: ``in_flight`` returns the number of calls that the server is processing.
        connects: ``close`` closes connections, which ends the calls in flight.
        secret: the provider's key, which no text may contain.
        patience: maximum seconds of a call.
    """
