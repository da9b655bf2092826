"""What every provider promises: one attempt a call, each fault by its name, no secret told."""

from paceline.testing.contracts.provider.base import Behaviour
from paceline.testing.contracts.provider.calls import ProviderCalls
from paceline.testing.contracts.provider.faults import ProviderFaults

__all__ = ["Behaviour", "ProviderContract"]


class ProviderContract(ProviderCalls, ProviderFaults):
    """Inherit it, and make a provider whose server does what a test asks for.

    Each of the faults that you declare is one that you can provoke: ``provider`` is then asked
    for it.

    Declare:
        refuses: it takes no call now, and says when to come again: ``retry_after`` seconds.
        fails: the attempt fails in passing, as with an error 500.
        away: nobody is there.
        rejects: it takes calls, but never this one.
        bars: it takes no call of this client: a wrong key, an unknown model.
        babbles: it answers, and the answer cannot be used.
        hangs: it takes the call and never answers.
        counts: ``attempts`` says how many requests came out of the provider.
        watches: ``in_flight`` says how many calls the server works on.
        connects: there are connections to close; calls in flight end with them.
        secret: the key that the provider is made with, which may never be shown.
        patience: seconds that a call may take.
    """
