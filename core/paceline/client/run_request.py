"""What a submission asks of its run, besides the roadmap, the tenant and the weight."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """Context, scope and origin of a submission; see ``Client.submit``.

    Attributes:
        context: any JSON object; ``None`` for an empty one.
        steps: the steps to make; ``None`` if the submission names none.
        only: selectors of the concepts to generate; empty for all.
        budget: what the run may cost, in the currency of the settings' prices; ``None`` if the
            submission names none.
        adopt: take over artifacts of the roadmap's newest run if their inputs are unchanged.
    """

    context: Mapping[str, object] | None = None
    steps: tuple[str, ...] | None = None
    only: tuple[str, ...] = ()
    budget: float | None = None
    adopt: bool = False


#: No context, the steps of the settings, the whole roadmap.
NOTHING_SPECIAL = RunRequest()
